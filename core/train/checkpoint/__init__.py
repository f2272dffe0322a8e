"""Checkpoints and results: complete or not there, read back, resumed from."""
