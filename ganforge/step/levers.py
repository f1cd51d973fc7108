"""Levers: what makes a step fast without changing its mathematics. All that is known of each stands in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

WORTH_COMPILING = 3e16
"""Floating-point operations of a whole training on a GPU from which some minutes of compiling are paid back."""


@dataclass(frozen=True)
class Lever:
    """What a recipe, a start line, a resumed run and the documents know of a lever."""

    key: str
    """The key of the recipe's `run`; a resumed run may change it."""
    field: str
    """The field of `Levers`."""
    words: str
    """What the start line says of it."""
    named: bool = False
    """Whether the start line names the networks."""
    auto: Callable[[bool, float], bool] | None = None
    """Where a recipe may leave it to the machine: whether it is pulled before anything was tried, given whether the
    device is a GPU and the floating-point operations of the whole training."""


TABLE = (
    # On a CPU the first two depend on the machine and the networks: trials tell.
    Lever("merge", "merged", "merged", named=True, auto=lambda gpu, _: gpu),
    Lever("compile", "compiled", "compiled", named=True, auto=lambda gpu, flops: gpu and flops >= WORTH_COMPILING),
    Lever("recompute", "recomputed", "recomputed", named=True),
    Lever("shard", "sharded", "in parts", named=True),
    Lever("channels_last", "channels_last", "channels last", auto=lambda *_: False),
    Lever("cuda_graphs", "graphs", "CUDA graphs", auto=lambda gpu, _: gpu),
    Lever("fused", "fused", "fused optimizers", auto=lambda gpu, _: gpu),
    # On a CPU, what exchanges takes the time of what computes.
    Lever("overlap", "overlap", "overlapped averaging", auto=lambda gpu, _: gpu),
)
LEFT_TO_THE_MACHINE = tuple(lever.key for lever in TABLE if lever.auto)
"""Keys of the levers that `auto` decides."""


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
    """Why levers that might be expected are not in use."""

    def __str__(self) -> str:
        return "; ".join((", ".join(self._words()) or "none", *self.notes))

    def _words(self) -> Iterator[str]:
        for lever in TABLE:
            if pulled := getattr(self, lever.field):
                yield f"{lever.words} {' '.join(sorted(pulled))}" if lever.named else lever.words
        if self.compiled and not self.layouts:
            yield "channels where they are"


NONE = Levers()
"""A step as it is written, call by call."""
