"""What a run does by itself when a step can't be done."""
