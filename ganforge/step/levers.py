"""What makes a step fast without changing its mathematics: which of it is in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Levers:
    """Which levers are pulled; by default none."""

    merged: frozenset[str] = frozenset()
    """Networks, and methods of networks, whose forwards may run as one batch."""
    quiet: frozenset[str] = frozenset()
    """Ops that may be called before their turn: they draw nothing from the global random generators."""
    compiled: frozenset[str] = frozenset()
    """Networks that are compiled."""
    layouts: bool = True
    """Whether what is compiled may keep images as it likes: channels innermost, which some CPUs are slow in."""
    recomputed: frozenset[str] = frozenset()
    """Networks whose activations are computed again in the backward pass."""
    fused: frozenset[str] = frozenset()
    """Players whose optimizer updates all weights in one kernel."""
    channels_last: bool = False
    """Whether images have their channels innermost."""
    graphs: bool = False
    """Whether the passes of each phase are replayed from CUDA graphs."""
    overlap: bool = False
    """Whether gradients are averaged over ranks while the backward pass goes on."""
    sharded: frozenset[str] = frozenset()
    """Networks of whose weights, gradients and optimizer each rank keeps a part."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """Why one that might be expected is not in use."""

    def __str__(self) -> str:
        return "; ".join((", ".join(self._words()) or "none", *self.notes))

    def _words(self) -> Iterator[str]:
        verbs = {"merged": self.merged, "compiled": self.compiled, "recomputed": self.recomputed}
        for verb, names in (verbs | {"in parts": self.sharded}).items():
            if names:
                yield f"{verb} {' '.join(sorted(names))}"
        words = {"channels last": self.channels_last, "CUDA graphs": self.graphs, "fused optimizers": self.fused}
        words["overlapped averaging"] = self.overlap
        words["channels where they are"] = bool(self.compiled) and not self.layouts
        yield from (word for word, used in words.items() if used)


NONE = Levers()
"""A step as it is written, call by call."""
