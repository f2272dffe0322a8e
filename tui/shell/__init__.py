"""The terminal around the app: what it can do, its clipboard, the person's editor."""
