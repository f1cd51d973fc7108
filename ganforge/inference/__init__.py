"""Using what a run has learnt: translating, tiling, exporting."""
