"""The dialogs of the Train pane."""
