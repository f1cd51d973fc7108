"""Levers: what makes a step fast without changing its mathematics. Which help a machine is tried there."""
