"""What one batch computes: the cast of a recipe, and the values of its expressions by four rules."""
