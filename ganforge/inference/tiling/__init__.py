"""Translating large pictures tile by tile, with the result of the whole picture, in a fraction of its memory.

Convolutions see a neighbourhood, so a tile can be computed from itself and its surroundings. Instance norms see
everything: with its own statistics each tile gets colours of its own, and seams show. Here every norm gets the
statistics of the whole picture. They are found norm after norm, since each one's depend on what those before it give:

- The computation is written down as a `Tape` of operations, which can be stopped at every norm.
- A `Stage` goes over all tiles, up to the next norm, and sums up its statistics over the tiles. The activations there
  are kept, tile by tile without overlap, where they are small; the next stage goes on from them. Where they are large,
  as at a network's full-size ends, they are computed again. What is kept of a large picture lies in a temporary file.
- Each tile is computed from as many pixels around it as the stage looks at. That is measured: NaN around a picture
  spreads exactly so far. What looks at everything otherwise (attention, pooling to one pixel) shows by that.

So tiles fit each other with nothing to blend, up to the rounding of float32. A rehearsal on a small picture proves it
for the network at hand, which is refused if it is not true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ganforge.inference.tiling.grid import Axis, Frame, Grid, Place
from ganforge.inference.tiling.kept_maps import Disk, Mosaic, memory_given_back
from ganforge.inference.tiling.norms import Statistics, Sums
from ganforge.inference.tiling.stages import PROBES, UNIT, Stage, stages_of
from ganforge.inference.tiling.tape import PICTURE, Operation, Tape, Untileable, Values, record

__all__ = ["TOLERANCE", "Tiling", "Untileable"]

TOLERANCE = 1e-3
"""How much a pixel may differ from that of the whole picture's result, where results are in `[-1, 1]`, in float32."""
LOW_TOLERANCE = 3e-2
"""The same for the mean over pixels where networks compute in 16 bits: there, rounding alone moves single pixels."""

KEPT = {"cpu": (0.5, 2**26)}
"""By device, what of a picture is kept on the host from stage to stage: values that together are no larger than so many
parts of the largest one (all others are computed again), each in memory up to so many bytes, else in a file."""
KEPT_ELSEWHERE = (1.0, 2**33)

Prepare = Callable[[Tensor], Tensor]


class Tiling:
    """A function of one picture, computed tile by tile."""

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        channels: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        exact: bool = True,
        kept: tuple[float, int] | None = None,
    ) -> None:
        """Write it down, plan its stages and rehearse them.

        Args:
            function: from `[1, channels, H, W]` in `[-1, 1]` to `[1, C, H', W']`.
            channels: of the picture.
            dtype: of the picture.
            device: where it computes.
            exact: whether it computes in float32 or better; else only means are compared.
            kept: in place of what `KEPT` has for the device.

        Raises:
            Untileable: it cannot be done in tiles.
        """
        self.function, self.channels, self.dtype = function, channels, dtype
        self.device = device or torch.device("cpu")
        self._tapes: dict[tuple[int, int], Tape] = {}
        parts, self.bytes_in_memory = kept or KEPT.get(self.device.type, KEPT_ELSEWHERE)
        with torch.inference_mode():
            small, large = (self._record(side, side) for side in PROBES)
            self.tape = small
            self.stages = stages_of(small, large, parts, self.device)
            self._rehearse(exact)

    @property
    def passes(self) -> int:
        """How often the tiles are gone over."""
        return len(self.stages.stages)

    def __call__(
        self,
        picture: Tensor,
        tile_px: int,
        prepare: Prepare = lambda tile: tile,
        finish: Prepare = lambda tile: tile,
        done: Callable[[float], None] = lambda part: None,
    ) -> Tensor:
        """Translate a picture `[1, C, H, W]` of any type on the CPU: the result is there too.

        Args:
            picture: of any size.
            tile_px: the side of the tiles, about.
            prepare: from a part of the picture to what the function takes.
            finish: from a part of what the function returns to what is wanted.
            done: told after each tile how much is done, from 0 to 1.

        Raises:
            Untileable: pictures of this size are treated differently.
        """
        with torch.inference_mode(), memory_given_back():
            return _Passes(self, picture, tile_px, prepare, finish, done).run()

    def tape_for(self, height: int, width: int) -> Tape:
        """The function for pictures of a size: the same operations, whose options may differ."""
        if (height, width) not in self._tapes:
            tape = self._record(height, width)
            if [each.function for each in tape.operations] != [each.function for each in self.tape.operations]:
                raise Untileable("it treats pictures of different sizes differently")
            self._tapes[height, width] = tape
        return self._tapes[height, width]

    def _record(self, height: int, width: int) -> Tape:
        return record(self.function, (1, self.channels, height, width), self.dtype, self.device)

    def _rehearse(self, exact: bool) -> None:
        """Compare the tiled result with the whole, on noise."""
        generator = torch.Generator().manual_seed(0)
        side = PROBES[0]
        picture = torch.rand(1, self.channels, side, side, generator=generator, dtype=self.dtype) * 2 - 1
        whole = self.function(picture.to(self.device)).float().cpu()
        tiled = self(picture, UNIT, lambda tile: tile.to(self.device), lambda tile: tile.float().cpu())
        errors = (whole - tiled).abs()
        error, tolerance = (errors.max(), TOLERANCE) if exact else (errors.mean(), LOW_TOLERANCE)
        if not error <= tolerance:
            raise Untileable(
                f"what it makes of a pixel depends on where in the picture that is: tiles differ by {float(error):.2g}"
            )


class _Passes:
    """All the stages of computing one picture."""

    def __init__(
        self,
        tiling: Tiling,
        picture: Tensor,
        tile_px: int,
        prepare: Prepare,
        finish: Prepare,
        done: Callable[[float], None],
    ) -> None:
        self.tiling, self.stages, self.picture = tiling, tiling.stages, picture
        self.prepare, self.finish, self.done = prepare, finish, done
        height, width = picture.shape[2:]
        self.tape = tiling.tape_for(height, width)
        rows, columns = (Axis.cut(side, tile_px, self.stages.halo, self.stages.stride) for side in (height, width))
        self.grid = Grid(rows, columns)
        self.disk = Disk()
        self.kept: dict[int, Mosaic] = {}
        self.statistics: dict[int, Statistics] = {}
        self.result = torch.empty(0)

    def run(self) -> Tensor:
        for index, stage in enumerate(self.stages.stages):
            norm, sums = self.stages.norms.get(stage.stop), Sums()
            for place, values in self._tiles(stage, index):
                if norm is None:
                    self._put(place, values[self.tape.result])
                else:
                    sums.add(self._frame(norm.input).own(values[norm.input], place))
                values.clear()  # before the next tile is computed
            if norm is not None:
                self.statistics[stage.stop] = sums.statistics(norm.groups)
        return self.result

    def _tiles(self, stage: Stage, index: int) -> Iterator[tuple[Place, Values]]:
        """What is alive at the end of a stage, tile by tile; on its way it keeps what the next ones start from."""
        begun = self.tape.alive(stage.start)
        kept = frozenset[int]() if stage.keep is None else self.tape.alive(stage.keep)
        self.kept |= {number: self._mosaic(number) for number in kept - begun}
        places = list(self.grid.places())
        for count, place in enumerate(places, start=1):
            (top, bottom), (left, right) = self.grid.outer(place)
            tape = self.tiling.tape_for(bottom - top, right - left)
            values = {number: self.kept[number].outer(place, self.tiling.device) for number in begun}
            if self.tape.used_until[PICTURE] >= stage.start:
                values[PICTURE] = self.prepare(self.picture[:, :, top:bottom, left:right])
            if stage.keep is not None:
                values = tape.run(values, stage.start, stage.keep, self._compute)
                for number in kept - begun:
                    self.kept[number].put(place, values[number])
            yield place, tape.run(values, stage.keep or stage.start, stage.stop, self._compute)
            self.done((index + count / len(places)) / len(self.stages.stages))
            if stage.keep is not None and place[1] == len(self.grid.columns) - 1:
                self._forget(begun - kept, place[0] + 1)

    def _forget(self, numbers: frozenset[int], row: int) -> None:
        """Drop what no tile of this row or of those below it needs."""
        needed = self.grid.rows.outer(row)[0] if row < len(self.grid.rows) else self.grid.rows.length
        for number in numbers:
            self.kept[number].drop_above(needed)

    def _compute(self, position: int, operation: Operation, values: Values) -> list[Tensor]:
        norm = self.stages.norms.get(position)
        return operation.compute(values) if norm is None else [norm.apply(values, self.statistics[position])]

    def _frame(self, number: int) -> Frame:
        return Frame(self.grid, self.stages.scales[number], self.tape.kinds[number])

    def _mosaic(self, number: int) -> Mosaic:
        large = self.tape.kinds[number].bytes > self.tiling.bytes_in_memory
        return Mosaic(self._frame(number), self.disk if large else None)

    def _put(self, place: Place, outer: Tensor) -> None:
        frame = self._frame(self.tape.result)
        tile = self.finish(frame.own(outer, place))
        (top, bottom), (left, right) = frame.inner(place)
        if not self.result.numel():
            self.result = torch.empty((1, tile.shape[1], *frame.kind.shape[2:]), dtype=tile.dtype)
        self.result[:, :, top:bottom, left:right] = tile
