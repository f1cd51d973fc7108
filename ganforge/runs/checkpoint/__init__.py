"""Checkpoints: what is in one, and how it gets there whole."""
