"""The ranks of a training: the processes, on one host or many, that compute it together."""

from ganforge.engine.world.joining import joined
from ganforge.engine.world.last_words import PeerLost
from ganforge.engine.world.world import ALONE, World

__all__ = ["ALONE", "PeerLost", "World", "joined"]
