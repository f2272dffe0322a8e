"""Training runs: their directories, what they stand on, and what their events tell."""
