"""The Chat pane: up to four models side by side."""
