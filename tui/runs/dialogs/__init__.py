"""The dialogs of the Runs pane."""
