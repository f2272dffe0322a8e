"""The data worker: the process that answers the Data pane."""
