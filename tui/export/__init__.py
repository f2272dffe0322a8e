"""The Export pane: what can be made of a model, and how near it is."""
