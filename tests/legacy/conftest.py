"""The plugin of 0.1.0 has tests of its own, which run where it is installed."""

collect_ignore = ["ganforge-lantern"]
