"""Using what a run has learnt."""
