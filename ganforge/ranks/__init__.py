"""The ranks of a training: the processes, on one host or many, that compute it together."""

from ganforge.ranks.failure_reports import PeerLost
from ganforge.ranks.joining import joined
from ganforge.ranks.world import ALONE, World

__all__ = ["ALONE", "PeerLost", "World", "joined"]
