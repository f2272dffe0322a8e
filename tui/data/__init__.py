"""The Data pane: the rows of a file as the trainer will see them."""
