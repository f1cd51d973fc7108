"""Maps of a whole picture that are kept from stage to stage, in pieces: in memory, or in a temporary file."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from typing import BinaryIO

import torch
from torch import Tensor

from ganforge.engine.tiling.grid import Frame, Place, Span
from ganforge.errors import EnvironmentFault


class Disk:
    """Tensors in a temporary file that nobody else sees; the room of those that are dropped is used again."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._end = 0
        self._free: defaultdict[int, list[int]] = defaultdict(list)

    def put(self, tensor: Tensor) -> int:
        """Write a tensor: where it is.

        Raises:
            EnvironmentFault: the disk is full.
        """
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy()
        place = self._free[data.size].pop() if self._free[data.size] else self._end
        self._end = max(self._end, place + data.size)
        try:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115
            self._file.seek(place)
            self._file.write(data.data)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot keep {self._end / 2**30:.1f} GiB in {tempfile.gettempdir()}: {error.strerror}\n"
                "  set TMPDIR to a folder with more room"
            ) from error
        return place

    def get(self, place: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Read a tensor."""
        tensor = torch.empty(shape, dtype=dtype)
        assert self._file is not None
        self._file.seek(place)
        self._file.readinto(tensor.view(-1).view(torch.uint8).numpy().data)  # type: ignore[attr-defined]
        return tensor

    def drop(self, place: int, bytes_: int) -> None:
        """Let others have the room."""
        self._free[bytes_].append(place)


class Mosaic:
    """A map over the whole picture, kept on the host as the pieces that belong to the tiles.

    On a disk, the pieces of those rows of tiles are in memory as well that the tile at hand is computed from.
    """

    def __init__(self, frame: Frame, disk: Disk | None) -> None:
        self.frame, self.disk = frame, disk
        self._loaded: dict[Place, Tensor] = {}
        self._written: dict[Place, int] = {}

    def put(self, place: Place, outer: Tensor) -> None:
        """Keep what was computed for a tile, without its surroundings."""
        piece = self.frame.own(outer, place)
        if self.disk is None:
            self._loaded[place] = piece.to("cpu", copy=True, memory_format=torch.contiguous_format)
        else:
            self._written[place] = self.disk.put(piece.cpu())

    def outer(self, place: Place, device: torch.device) -> Tensor:
        """A tile with its surroundings."""
        self._load(place[0])
        spans = self.frame.outer(place)
        (top, bottom), (left, right) = spans
        made = torch.empty((1, self.frame.kind.shape[1], bottom - top, right - left), dtype=self.frame.kind.dtype)
        for other, piece in self._loaded.items():
            theirs = self.frame.inner(other)
            shared = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(spans, theirs, strict=True)]
            if all(start < stop for start, stop in shared):
                made[_within(shared, spans)] = piece[_within(shared, theirs)]
        return made.to(device)

    def drop_above(self, row: int) -> None:
        """Forget the tiles that end above a row of the picture."""
        edges = self.frame.grid.rows.edges
        for place in [place for place in (*self._loaded, *self._written) if edges[place[0] + 1] <= row]:
            self._loaded.pop(place, None)
            if self.disk is not None and place in self._written:
                self.disk.drop(self._written.pop(place), self._bytes(place))

    def _load(self, row: int) -> None:
        """Have in memory what tiles of this row are computed from, and nothing else."""
        if self.disk is None:
            return
        start, stop = self.frame.grid.rows.outer(row)
        edges = self.frame.grid.rows.edges
        near = {place for place in self._written if edges[place[0]] < stop and start < edges[place[0] + 1]}
        for place in self._loaded.keys() - near:
            del self._loaded[place]
        for place in near - self._loaded.keys():
            self._loaded[place] = self.disk.get(self._written[place], self._shape(place), self.frame.kind.dtype)

    def _shape(self, place: Place) -> tuple[int, int, int, int]:
        (top, bottom), (left, right) = self.frame.inner(place)
        return 1, self.frame.kind.shape[1], bottom - top, right - left

    def _bytes(self, place: Place) -> int:
        return torch.Size(self._shape(place)).numel() * self.frame.kind.dtype.itemsize


def _within(part: list[Span], whole: tuple[Span, Span]) -> tuple[slice, ...]:
    places = (slice(a - c, b - c) for (a, b), (c, _) in zip(part, whole, strict=True))
    return (slice(None), slice(None), *places)
