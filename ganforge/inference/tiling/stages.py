"""The stages in which a computation goes over the tiles, what is kept between them, and how far each looks."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ganforge.inference.tiling.norms import Norm, Statistics
from ganforge.inference.tiling.tape import PICTURE, Kind, Operation, Tape, Untileable, Values

UNIT = 96
"""Pixels that the stride of a network must divide."""
PROBES = (3 * UNIT, 6 * UNIT)
"""Sides of pictures on which the reach is measured; the second is for those that look further than the first shows."""
REACH = PROBES[-1] // 6
"""How many pixels a stage can look around it at most: in the middle third of a picture some must be left."""


@dataclass(frozen=True)
class Stage:
    """A pass over all tiles, from one position of the tape to another."""

    start: int
    stop: int
    """The norm whose statistics it finds; for the last stage the end."""
    keep: int | None
    """The position that later stages start from, if what is alive there is small enough to be kept."""


@dataclass(frozen=True)
class Stages:
    """How a tape is run tile by tile."""

    norms: dict[int, Norm]
    """The norms of the tape, by position."""
    scales: dict[int, Fraction]
    """Pixels a side of each map for one of the picture; only of those that begin and end where the picture does."""
    stride: int
    """The number whose multiples tiles begin at."""
    stages: tuple[Stage, ...]
    halo: int
    """How many pixels around it a tile is computed from: with these, nothing in it depends on where it was cut."""


def stages_of(tape: Tape, larger: Tape, kept: float, device: torch.device) -> Stages:
    """Stages for a computation, written down for pictures of both sizes of `PROBES`.

    Args:
        kept: how large, in parts of the largest value, the values may be that are kept from stage to stage. What is
            not kept is computed again.

    Raises:
        Untileable: it looks too far around it.
    """
    norms = {at: norm for at, each in enumerate(tape.operations) if (norm := Norm.of(each, tape.kinds))}
    scales = {number: scale for number, kind in tape.kinds.items() if (scale := _scale(kind))}
    stride = math.lcm(*(scale.denominator for scale in scales.values()))
    if UNIT % stride:
        raise Untileable(f"it makes maps {stride} times smaller than the picture")
    for number in (tape.result, *(norm.input for norm in norms.values())):
        if number not in scales:
            raise Untileable("it normalises or returns maps that are larger or smaller than the picture by a margin")
    stages = _stages(tape, norms, scales, kept)
    probing = _Probing(norms, scales, device)
    halo = max(probing.reach(tape, larger, stage) for stage in stages)
    return Stages(norms, scales, stride, stages, -(-halo // stride) * stride)


def _scale(kind: Kind) -> Fraction | None:
    if len(kind.shape) != 4 or kind.shape[0] != 1 or kind.shape[2:] == (1, 1):
        return None
    rows, columns = (Fraction(side, PROBES[0]) for side in kind.shape[2:])
    return rows if rows == columns and 1 in (rows.numerator, rows.denominator) else None


def _stages(tape: Tape, norms: dict[int, Norm], scales: dict[int, Fraction], kept: float) -> tuple[Stage, ...]:
    limit = kept * max(kind.bytes for kind in tape.kinds.values())

    def can_keep(position: int) -> bool:
        alive = tape.alive(position)
        return alive <= scales.keys() and sum(tape.kinds[number].bytes for number in alive) <= limit

    stages, start = [], 0
    for stop in sorted(norms):
        keep = next(filter(can_keep, range(stop, start, -1)), None)
        stages.append(Stage(start, stop, keep))
        start = start if keep is None else keep
    return (*stages, Stage(start, len(tape.operations), None))


@dataclass(frozen=True)
class _Probing:
    """How far stages look around them: a frame of NaN around a picture spreads exactly so far, whatever the weights."""

    norms: dict[int, Norm]
    scales: dict[int, Fraction]
    device: torch.device

    def reach(self, tape: Tape, larger: Tape, stage: Stage) -> int:
        """How many pixels around a tile a stage's results in it depend on."""
        for probe in (tape, larger):
            margins = self._margins(probe, stage)
            if margins is not None:
                return math.ceil(max(margins))
        raise Untileable(f"its {self._culprit(larger, stage)} looks at more than {REACH} pixels around")

    def _margins(self, tape: Tape, stage: Stage) -> list[Fraction] | None:
        """How far, in pixels, the frame of NaN has spread to each side of each result; None if it is everywhere."""
        frame = tape.kinds[PICTURE].shape[2] // 3
        values, position = self._framed(tape, stage.start), stage.start
        margins = [Fraction(0)]
        for stop, wanted in self._results(tape, stage):
            with _direct():
                values = tape.run(values, position, stop, self._compute)
            position = stop
            for number in wanted:
                clean = ~values[number][0].isnan().any(0)
                if not clean.any():
                    return None
                for along in (1, 0):
                    seen = clean.any(along).nonzero().flatten()
                    first, behind = int(seen[0]) / self.scales[number], int(seen[-1] + 1) / self.scales[number]
                    margins += [first - frame, 2 * frame - behind]
        return margins

    def _results(self, tape: Tape, stage: Stage) -> Iterator[tuple[int, frozenset[int]]]:
        """Where in a stage something comes out, and which values: what is kept, and what is normalised or returned."""
        if stage.keep is not None:
            yield stage.keep, tape.alive(stage.keep)
        yield stage.stop, frozenset((self.norms[stage.stop].input if stage.stop in self.norms else tape.result,))

    def _framed(self, tape: Tape, start: int) -> Values:
        """What is alive at a position: zeros in the middle third, and NaN around it.

        The frame is as wide as the middle, and so wider than any reach that is found: nothing looks over it.
        """
        values = {}
        for number in (*tape.alive(start), PICTURE):
            kind = tape.kinds[number]
            frame = kind.shape[2] // 3
            value = torch.full(kind.shape, torch.nan, dtype=kind.dtype, device=self.device)
            value[:, :, frame:-frame, frame:-frame] = 0
            values[number] = value
        return values

    def _compute(self, position: int, operation: Operation, values: Values) -> list[Tensor]:
        """Norms as if every mean were 0 and every variance 1."""
        norm = self.norms.get(position)
        if norm is None:
            return operation.compute(values)
        channels = values[norm.input].shape[1]
        return [norm.apply(values, Statistics(torch.zeros(channels), torch.ones(channels)))]

    def _culprit(self, tape: Tape, stage: Stage) -> str:
        """The first operation whose results depend on the frame everywhere."""
        found: list[str] = []

        def compute(position: int, operation: Operation, values: Values) -> list[Tensor]:
            made = self._compute(position, operation, values)
            if not found and all(tensor.is_floating_point() and tensor.isnan().all() for tensor in made):
                found.append(operation.name)
            return made

        with _direct():
            tape.run(self._framed(tape, stage.start), stage.start, stage.stop, compute)
        return found[0] if found else "network"


def _direct() -> contextlib.AbstractContextManager[None]:
    """Convolutions that look at their own pixels only: cuDNN's fast ones (FFT, Winograd) spread NaN over blocks."""
    return torch.backends.cudnn.flags(enabled=False)
