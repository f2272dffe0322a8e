"""The terminal's two faces: the Textual workbench and the commands. Draws, asks, posts, prints."""
