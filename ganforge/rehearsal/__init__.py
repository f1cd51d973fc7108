"""What is known before anything runs: shapes, forwards and costs of a step, from fake tensors."""
