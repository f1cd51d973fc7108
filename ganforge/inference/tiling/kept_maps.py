"""Maps of a whole picture that are kept from stage to stage, in pieces: in memory, or in a temporary file."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from typing import BinaryIO

import torch
from torch import Tensor

from ganforge.errors import EnvironmentFault
from ganforge.inference.tiling.grid import Frame, Place, Span


@contextlib.contextmanager
def memory_given_back() -> Iterator[None]:
    """Let every large tensor's memory go back to the system with it.

    By default glibc learns to hold on to blocks of up to 32 MiB, and maps of many sizes leave gaps between them: a
    third of the memory that tiles take. Where there is another C library, nothing happens.
    """
    mmap_threshold, learnt = -3, 32 * 2**20  # of mallopt(3)
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is None:
        yield
        return
    set_option(mmap_threshold, 2**20)
    try:
        yield
    finally:
        set_option(mmap_threshold, learnt)


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
                f"cannot keep {self._end / 2**30:.1f} GiB in {tempfile.gettempdir()}: {error.strerror}",
                "set TMPDIR to a folder with more room",
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

    With a disk it is in memory only what the tile at hand is computed from.
    """

    def __init__(self, frame: Frame, disk: Disk | None) -> None:
        self.frame, self.disk = frame, disk
        self._loaded: dict[Place, tuple[Tensor, tuple[Span, Span]]] = {}
        """What is in memory, and where in the map it lies: of pieces on a disk, some rows."""
        self._written: dict[Place, int] = {}
        self._row = -1
        """The row of the tile that was computed last."""

    def put(self, place: Place, outer: Tensor) -> None:
        """Keep what was computed for a tile, without its surroundings."""
        piece = self.frame.own(outer, place)
        if self.disk is None:
            kept = piece.to("cpu", copy=True, memory_format=torch.contiguous_format)
            self._loaded[place] = kept, self.frame.inner(place)
        else:
            self._written[place] = self.disk.put(piece.cpu())

    def outer(self, place: Place, device: torch.device) -> Tensor:
        """A tile with its surroundings."""
        spans = self.frame.outer(place)
        if self.disk is not None:
            self._load(place[0], spans, self.disk)
        (top, bottom), (left, right) = spans
        made = torch.empty((1, self.frame.kind.shape[1], bottom - top, right - left), dtype=self.frame.kind.dtype)
        for piece, theirs in self._loaded.values():
            if shared := _shared(spans, theirs):
                made[_within(shared, spans)] = piece[_within(shared, theirs)]
        return made.to(device)

    def drop_above(self, row: int) -> None:
        """Forget the tiles that end above a row of the picture."""
        edges = self.frame.grid.rows.edges
        for place in [place for place in (*self._loaded, *self._written) if edges[place[0] + 1] <= row]:
            self._loaded.pop(place, None)
            if self.disk is not None and place in self._written:
                self.disk.drop(self._written.pop(place), self._bytes(place))

    def _load(self, row: int, spans: tuple[Span, Span], disk: Disk) -> None:
        """Have in memory what a tile is computed from, and nothing else: of tiles in other rows that is a few rows."""
        if row != self._row:
            self._row, self._loaded = row, {}
        near = {place for place in self._written if _shared(spans, self.frame.inner(place))}
        for place in self._loaded.keys() - near:
            del self._loaded[place]
        for place in near - self._loaded.keys():
            theirs = self.frame.inner(place)
            shared = _shared((spans[0], theirs[1]), theirs) or theirs
            piece = disk.get(self._written[place], self._shape(place), self.frame.kind.dtype)
            self._loaded[place] = piece if shared == theirs else piece[_within(shared, theirs)].clone(), shared

    def _shape(self, place: Place) -> tuple[int, int, int, int]:
        (top, bottom), (left, right) = self.frame.inner(place)
        return 1, self.frame.kind.shape[1], bottom - top, right - left

    def _bytes(self, place: Place) -> int:
        return torch.Size(self._shape(place)).numel() * self.frame.kind.dtype.itemsize


def _shared(one: tuple[Span, Span], other: tuple[Span, Span]) -> tuple[Span, Span] | None:
    (top, bottom), (left, right) = ((max(a, c), min(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))
    return ((top, bottom), (left, right)) if top < bottom and left < right else None


def _within(part: tuple[Span, Span], whole: tuple[Span, Span]) -> tuple[slice, ...]:
    places = (slice(a - c, b - c) for (a, b), (c, _) in zip(part, whole, strict=True))
    return (slice(None), slice(None), *places)
