"""How players learn: batches, passes, optimizer steps, and what is told of them."""
