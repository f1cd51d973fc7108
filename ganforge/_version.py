"""The version, where nothing else is needed to know it."""

__version__ = "0.1.0"
