"""What is fast depends on the machine: it is tried there, and what came of it is kept."""
