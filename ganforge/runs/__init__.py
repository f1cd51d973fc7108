"""One training from its first step to its last: its folder, its checkpoints, and going on with it."""
