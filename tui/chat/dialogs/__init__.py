"""The dialogs of the Chat pane."""
