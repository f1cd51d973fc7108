"""The ranks of a training: the processes, on one host or many, that compute it together."""

from ganforge.engine.world.joining import joined
from ganforge.engine.world.world import ALONE, PeerLost, World

__all__ = ["ALONE", "PeerLost", "World", "joined"]
