"""Whether a run came out as the one that a bundle holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ganforge.sharing.bundle.unpacking import Unpacked
from ganforge.sharing.records import Record

WEIGHTS = ("networks.safetensors", "ema.safetensors")


@dataclass(frozen=True)
class Reproduced:
    """What a run that was to reproduce another has in common with it."""

    checkpoint: str
    """The checkpoint in the bundle that was compared with."""
    same_weights: bool | None
    """Whether all weights of that checkpoint are the same, bit for bit; None where the new run has not kept it."""
    figures: dict[str, tuple[float, float]]
    """By name, the bundle's figure and the new run's."""

    @property
    def largest(self) -> float:
        """The largest relative difference of a figure."""
        return max((_difference(*pair) for pair in self.figures.values()), default=0.0)

    @property
    def word(self) -> str:
        """The outcome in short, as `run.json` keeps it."""
        if self.same_weights:
            return "exactly"
        if not self.figures:
            return "unknown" if self.same_weights is None else "not bit for bit"
        return "figures are equal" if not self.largest else f"figures within {_percent(self.largest)}"

    def lines(self) -> Iterator[str]:
        """The outcome in words; the first line says the most."""
        if self.same_weights:
            figures = f", and {len(self.figures)} figures" if self.figures else ""
            yield f"reproduced exactly: every weight of {self.checkpoint}{figures}, bit for bit"
            return
        weights = {None: f"{self.checkpoint} was not kept here", False: "the weights are not the same bits"}
        told = weights[self.same_weights]
        if not self.figures:
            yield f"{told}, and there are no figures to compare"
        elif self.largest:
            yield f"{told}; the figures agree within {_percent(self.largest)}:"
        else:
            yield f"{told}; the figures are equal"
        width = max(map(len, self.figures), default=0)
        for name, (theirs, ours) in self.figures.items():
            difference = _percent(_difference(theirs, ours))
            yield f"  {name:{width}}  {theirs:.6g} in the bundle, {ours:.6g} here ({difference})"


def compare(unpacked: Unpacked, run: Path) -> Reproduced:
    """Compare a bundle with the folder of a run that has ended."""
    theirs, ours = Record.read(unpacked.folder), Record.read(run)
    checkpoint = unpacked.contents.checkpoint
    both = [_hashes(folder / "checkpoints" / checkpoint) for folder in (unpacked.folder, run)]
    same = None if both[1] is None else both[0] == both[1]
    names = [name for name in theirs.figures if name in ours.figures]
    return Reproduced(checkpoint, same, {name: (theirs.figures[name], ours.figures[name]) for name in names})


def _hashes(checkpoint: Path) -> list[str] | None:
    try:
        manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
        return [manifest[name] for name in WEIGHTS]
    except FileNotFoundError:
        return None


def _difference(one: float, other: float) -> float:
    """Relative to the larger one; none of two that are both NaN, or the same infinity."""
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    largest = max(abs(one), abs(other))
    return abs(one - other) / largest if math.isfinite(largest) else math.inf


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
