"""The Runs pane: every run of the home, and the chosen one in full."""
