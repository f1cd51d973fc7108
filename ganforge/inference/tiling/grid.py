"""How a picture is cut into tiles, and where these lie in maps of other sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from ganforge.inference.tiling.tape import Kind

Span = tuple[int, int]
"""The first pixel, and the one behind the last."""
Place = tuple[int, int]
"""The row and the column of a tile."""


@dataclass(frozen=True)
class Axis:
    """One side of a picture in even pieces; each is computed from itself and `halo` pixels to either side.

    But for the picture's end, pieces and halos begin and end at multiples of the stride.
    """

    length: int
    edges: tuple[int, ...]
    halo: int

    @classmethod
    def cut(cls, length: int, tile: int, halo: int, stride: int) -> Axis:
        """Pieces of about `tile` pixels, none much smaller than the others."""
        count = max(1, min(-(-length // tile), length // stride))
        inner = (round(length * i / count / stride) * stride for i in range(1, count))
        return cls(length, (0, *inner, length), halo)

    def __len__(self) -> int:
        return len(self.edges) - 1

    def inner(self, index: int) -> Span:
        """The pixels of a piece."""
        return self.edges[index], self.edges[index + 1]

    def outer(self, index: int) -> Span:
        """The pixels of a piece and of what is around it, as far as the picture goes."""
        start, stop = self.inner(index)
        return max(0, start - self.halo), min(self.length, stop + self.halo)

    def scaled(self, span: Span, scale: Fraction, total: int) -> Span:
        """The same span in a map of `total` pixels, `scale` for each of the picture's."""
        start, stop = span
        return int(start * scale), total if stop == self.length else int(stop * scale)


@dataclass(frozen=True)
class Grid:
    """A picture's tiles, row by row."""

    rows: Axis
    columns: Axis

    def places(self) -> Iterator[Place]:
        """The places of all tiles, row by row."""
        for row in range(len(self.rows)):
            yield from ((row, column) for column in range(len(self.columns)))

    def inner(self, place: Place) -> tuple[Span, Span]:
        """The rows and columns of a tile."""
        return self.rows.inner(place[0]), self.columns.inner(place[1])

    def outer(self, place: Place) -> tuple[Span, Span]:
        """The rows and columns that a tile is computed from."""
        return self.rows.outer(place[0]), self.columns.outer(place[1])


@dataclass(frozen=True)
class Frame:
    """A map `[1, C, H, W]` over the whole picture: where tiles lie in it."""

    grid: Grid
    scale: Fraction
    """How many pixels the map has for each pixel of the picture, a side."""
    kind: Kind
    """Shape and type of the whole map."""

    def _scaled(self, spans: tuple[Span, Span]) -> tuple[Span, Span]:
        height, width = self.kind.shape[2:]
        rows, columns = spans
        return self.grid.rows.scaled(rows, self.scale, height), self.grid.columns.scaled(columns, self.scale, width)

    def inner(self, place: Place) -> tuple[Span, Span]:
        """The part of the map that belongs to a tile."""
        return self._scaled(self.grid.inner(place))

    def outer(self, place: Place) -> tuple[Span, Span]:
        """The part that a tile is computed from."""
        return self._scaled(self.grid.outer(place))

    def own(self, outer: Tensor, place: Place) -> Tensor:
        """A view of that part of what was computed for a tile that belongs to the tile alone."""
        (top, bottom), (left, right) = self.inner(place)
        (above, _), (before, _) = self.outer(place)
        return outer[:, :, top - above : bottom - above, left - before : right - before]
