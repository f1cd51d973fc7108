"""Translating many pictures: read ahead, batched by size, written one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ganforge import images
from ganforge.engine.translation.ledger import Ledger
from ganforge.engine.translation.sources import Job
from ganforge.engine.translation.translator import Translator
from ganforge.errors import EnvironmentFault, GanforgeError

SHEET_PX = 1024
"""The longer side of a picture on a sheet, at most."""


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
    """Write 16 bits a channel; by default where the picture has them."""
    failed: list[str] = field(default_factory=list, init=False)
    """What went wrong, in words, a picture each."""

    count: int = field(default=0, init=False)
    """How many pictures are done, those that failed among them."""

    def translate(self, jobs: Iterable[Job], done: Callable[[float], None] = lambda _: None) -> None:
        """Translate the pictures; those that fail are noted, and the others go on.

        Args:
            jobs: which.
            done: told how many are done; while one is in tiles, with a part of it.
        """
        batch: list[tuple[Job, Tensor]] = []
        for job, picture in self._read(jobs):
            fits = not batch or (picture.shape, picture.dtype) == (batch[0][1].shape, batch[0][1].dtype)
            if not fits or len(batch) == self.batch_size:
                self._make(batch, done)
                batch = []
            batch.append((job, picture))
        if batch:
            self._make(batch, done)

    def _read(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Tensor]]:
        """The pictures that can be read. A thread reads ahead: the networks should not wait for files."""
        waiting: deque[tuple[Job, Future[Tensor]]] = deque()
        todo = iter(jobs)
        with ThreadPoolExecutor(max_workers=1) as reader:
            while True:
                while len(waiting) <= self.batch_size and (job := next(todo, None)):
                    waiting.append((job, reader.submit(self._open, job)))
                if not waiting:
                    return
                job, picture = waiting.popleft()
                try:
                    yield job, picture.result()
                except EnvironmentFault as error:
                    self._fail(job, error)

    def _open(self, job: Job) -> Tensor:
        picture = images.read_exact(job.source, self.translator.channels)
        return picture if self.size_px is None else images.resize(picture, self.size_px, self.size_px)

    def _make(self, batch: list[tuple[Job, Tensor]], done: Callable[[float], None]) -> None:
        pictures = torch.stack([picture for _, picture in batch])
        jobs = [job for job, _ in batch]
        try:
            made = self.translator.translate(
                pictures, self._finish(pictures), lambda pictures_done: done(self.count + pictures_done)
            )
            sheets = self._sheets(pictures, made) if jobs[0].sheet else [None] * len(jobs)
        except GanforgeError as error:
            for job in jobs:
                self._fail(job, error)
            return
        for job, picture, sheet in zip(jobs, made, sheets, strict=True):
            try:
                self._write(job, picture, sheet)
            except EnvironmentFault as error:
                self._fail(job, error)
                continue
            self.count += 1
        done(self.count)

    def _fail(self, job: Job, error: GanforgeError) -> None:
        place = "" if str(job.source) in str(error) else f"{job.source}: "
        self.failed.append(f"{place}{error}")
        self.count += 1

    def _finish(self, pictures: Tensor) -> Callable[[Tensor], Tensor]:
        deep = pictures.dtype == torch.uint16 if self.deep is None else self.deep
        return images.to_uint16 if deep else images.to_uint8

    def _sheets(self, pictures: Tensor, made: Tensor) -> list[Tensor | None]:
        """The pictures, their translations and, where the recipe has it, the way back, side by side."""
        columns = {self.translator.choice.field: pictures, self.translator.signal: made}
        if back := self.translator.back:
            columns[back.signal] = back.translate(pictures, images.to_uint8)
        rows = zip(*(map(_shown, column) for column in columns.values()), strict=True)
        return [images.label_grid([row], list(columns)) for row in rows]

    def _write(self, job: Job, picture: Tensor, sheet: Tensor | None) -> None:
        for file, content in ((job.target, picture), (job.sheet, sheet)):
            if file is not None and content is not None:
                try:
                    file.parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise EnvironmentFault(f"cannot make the folder {file.parent}: {error.strerror}") from error
                images.write_image(file, content)
        self.ledger.add(job)


def _shown(picture: Tensor) -> Tensor:
    """A picture as a sheet shows it: 8 bits, and not larger than one looks at."""
    picture = images.to_uint8(picture)
    height, width = picture.shape[1:]
    longer = max(height, width)
    if longer > SHEET_PX:
        picture = images.resize(picture, max(1, height * SHEET_PX // longer), max(1, width * SHEET_PX // longer))
    return picture
