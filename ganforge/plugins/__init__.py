"""Plugins: found, loaded, registered, and the options of their parts read off signatures."""
