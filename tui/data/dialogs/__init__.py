"""The dialogs of the Data pane."""
