"""Translating many pictures: read ahead, batched by size, written one by one."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

import torch
from torch import Tensor

from ganforge import images
from ganforge.errors import EnvironmentFault, GanforgeError
from ganforge.images.storage import Limits
from ganforge.inference.translate.done_list import Ledger
from ganforge.inference.translate.inputs import Inputs
from ganforge.inference.translate.jobs import Job
from ganforge.inference.translate.padding import DEVICE_LOST
from ganforge.inference.translate.picture_types import Box, cut
from ganforge.inference.translate.translator import Translator

SHEET_PX = 1024
"""The longer side of a picture on a sheet, at most."""


GOES_ON = "the same command goes on from here"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors that keep every picture from being written, not only one."""

Figure = Callable[[Tensor, Tensor], Tensor]
"""Measures results against the truth, both `[N, C, H, W]` in `[-1, 1]`."""


class _Read(NamedTuple):
    """A picture that was read, and the truth, where its file has it."""

    job: Job
    picture: Tensor
    truth: Tensor | None
    limits: Limits | None = None
    """Black and white of the file, where each has its own."""
    others: Mapping[str, Tensor] = {}
    """What else the signal takes, by field."""


@dataclass
class Album:
    """How pictures become files."""

    translator: Translator
    ledger: Ledger
    batch_size: int = 1
    """How many pictures of one size are translated at once."""
    size_px: int | None = None
    """Resize pictures to a square first."""
    deep: bool | None = None
    """Write 16 bits a channel; by default what the data have, or else where the picture has them."""
    inputs: Inputs | None = None
    """What the signal takes beside a picture."""
    compared: Mapping[str, Figure] = field(default_factory=dict)
    """What is measured where the truth is there, by name."""
    failed: list[str] = field(default_factory=list)
    """What went wrong, in words, a picture each."""

    count: int = field(default=0, init=False)
    """How many pictures are done, those that failed among them."""
    figures: dict[str, list[float]] = field(default_factory=dict, init=False)
    """What was measured of each picture."""

    def translate(self, jobs: Iterable[Job], done: Callable[[float], None] = lambda _: None) -> None:
        """Translate the pictures; those that fail are noted, and the others go on.

        Args:
            done: told how many are done; while one is in tiles, with a part of it.

        Raises:
            Ended: no further picture can be written, or computed: the disk is full, the device has failed.
        """
        batch: list[_Read] = []
        for read in self._read(jobs):
            fits = not batch or _kind(read) == _kind(batch[0])
            if not fits or len(batch) == self.batch_size:
                self._make(batch, done)
                batch = []
            batch.append(read)
        if batch:
            self._make(batch, done)

    def _read(self, jobs: Iterable[Job]) -> Iterator[_Read]:
        """The pictures that can be read. A thread reads ahead: the networks should not wait for files."""
        waiting: deque[tuple[Job, Future[_Read]]] = deque()
        todo = iter(jobs)
        with ThreadPoolExecutor(max_workers=1) as reader:
            while True:
                while len(waiting) <= self.batch_size and (job := next(todo, None)):
                    waiting.append((job, reader.submit(self._open, job)))
                if not waiting:
                    return
                job, opened = waiting.popleft()
                try:
                    read = opened.result()
                except (GanforgeError, OSError, MemoryError) as error:
                    self._fail(job, error)
                    continue
                yield read

    def _open(self, job: Job) -> _Read:
        if not S_ISREG(job.source.stat().st_mode):  # a pipe would be waited for
            raise EnvironmentFault(f"cannot read the picture {job.source}: it is no plain file")
        picture, limits = self.translator.read(job.source)
        box, of_truth = self.translator.parted(*picture.shape[1:])
        truth = self._truth(job.source, of_truth)
        others = self.inputs.of(job.source, job.relative, self.size_px) if self.inputs else {}
        return _Read(job, self._sized(cut(picture, box) if box else picture), truth, limits, others)

    def _truth(self, source: Path, box: Box | None) -> Tensor | None:
        file = source if box else self.translator.partner(source)
        if file is None:
            return None
        storage = self.translator.given
        picture = images.read_exact(file, storage.channels) if storage.plain else storage.read(file)
        return self._sized(cut(picture, box) if box else picture)

    def _sized(self, picture: Tensor) -> Tensor:
        return picture if self.size_px is None else images.resize(picture, self.size_px, self.size_px)

    def _make(self, batch: list[_Read], done: Callable[[float], None]) -> None:
        pictures = torch.stack([read.picture for read in batch])
        deep = self.deep
        if deep is None:
            deep = pictures.dtype == torch.uint16 and self.translator.taken.plain
        try:
            finish = torch.Tensor.float if self._stores else images.to_uint16 if deep else images.to_uint8
            made = self.translator.translate(
                pictures, finish, lambda pictures_done: done(self.count + pictures_done), _joined(batch)
            )
            sheets = self._sheets(batch, pictures, made) if batch[0].job.sheet else [None] * len(batch)
        except DEVICE_LOST as error:
            raise Ended(f"the device has failed: {str(error).splitlines()[0]}", GOES_ON) from error
        except (GanforgeError, MemoryError) as error:
            for read in batch if len(batch) > 1 else ():
                self._make([read], done)  # whichever of them it was, the others should not suffer
            if len(batch) == 1:
                self._fail(batch[0].job, error)
            return
        for read, picture, sheet in zip(batch, made, sheets, strict=True):
            try:
                stored = self.translator.given.stored(picture, read.limits) if self._stores else picture
                self._write(read.job, stored, sheet)
            except (EnvironmentFault, OSError) as error:
                self._fail(read.job, error)
                continue
            self._measure(picture, read.truth)
            self.count += 1
        done(self.count)

    @property
    def _stores(self) -> bool:
        """Whether results have channels, depth and range as the data's files, and not those that are asked for."""
        return not self.translator.given.plain

    def _fail(self, job: Job, error: Exception) -> None:
        told = str(error) or type(error).__name__
        if isinstance(error, OSError):
            told = error.strerror or told
        place = "" if str(job.source) in told else f"{job.source}: "
        self.failed.append(f"{place}{told}")
        self.count += 1

    def _sheets(self, batch: list[_Read], pictures: Tensor, made: Tensor) -> list[Tensor | None]:
        """The pictures, their translations and, where there are such, the truth and the way back, side by side."""
        columns = {self.translator.choice.field: [*pictures], self.translator.signal: [*made]}
        truths = [read.truth for read in batch if read.truth is not None]
        if truths:
            columns[str(self.translator.truth)] = truths
        if back := self.translator.back:
            columns[back.signal] = [*back.translate(pictures, images.to_uint8)]
        looks = self.translator.looks
        shown = ([_shown(each, looks.get(name)) for each in column] for name, column in columns.items())
        rows = zip(*shown, strict=True)
        return [images.label_grid([row], list(columns)) for row in rows]

    def _measure(self, picture: Tensor, truth: Tensor | None) -> None:
        if truth is None or truth.shape != picture.shape:  # of networks that enlarge
            return
        ours, theirs = (_floats(each)[None] for each in (picture, truth))
        for name, figure in self.compared.items():
            with suppress(ValueError):  # it is too small for this one
                self.figures.setdefault(name, []).append(float(figure(ours, theirs)))

    def _write(self, job: Job, picture: Tensor, sheet: Tensor | None) -> None:
        try:
            self.ledger.begin(job)
            for file, content in ((job.target, picture), (job.sheet, sheet)):
                if file is not None and content is not None:
                    try:
                        file.parent.mkdir(parents=True, exist_ok=True)
                    except OSError as error:
                        raise EnvironmentFault(f"cannot make the folder {file.parent}: {error.strerror}") from error
                    images.write_image(file, content)
            self.ledger.add(job)
        except (EnvironmentFault, OSError) as error:
            reason = error if isinstance(error, OSError) else error.__cause__
            if isinstance(reason, OSError) and reason.errno in FULL:
                raise Ended(str(error), GOES_ON) from error
            raise


class Ended(GanforgeError):
    """No further picture can be computed, or written."""

    exit_code = EnvironmentFault.exit_code


def _kind(read: _Read) -> tuple[object, ...]:
    """What pictures must have in common to make a batch."""
    return read.picture.shape, read.picture.dtype, read.truth is None, *(v.shape for v in read.others.values())


def _joined(batch: Sequence[_Read]) -> dict[str, Tensor]:
    """The other inputs of pictures: pictures `[N, C, H, W]`, and constants, which are the same for all."""
    first = batch[0].others
    return {
        name: torch.cat([read.others[name] for read in batch]) if value.ndim == 4 else value
        for name, value in first.items()
    }


def _floats(picture: Tensor) -> Tensor:
    return images.to_float(picture) if picture.dtype in (torch.uint8, torch.uint16) else picture


def _shown(picture: Tensor, channels: Sequence[int] | None) -> Tensor:
    """A picture as a sheet shows it: colours of 8 bits, and not larger than one looks at."""
    picture = images.shown(picture, channels)
    height, width = picture.shape[1:]
    longer = max(height, width)
    if longer > SHEET_PX:
        picture = images.resize(picture, max(1, height * SHEET_PX // longer), max(1, width * SHEET_PX // longer))
    return picture
