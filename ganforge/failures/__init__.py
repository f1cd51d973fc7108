"""Whose fault an error is, what has run out, and how both are told."""
