"""Pictures by index: read from files each time, or read once and held in memory."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from ganforge import BadFile

Cache = Literal["none", "memory", "device"]
Item = TypeVar("Item")

_MEMINFO = Path("/proc/meminfo")
_USABLE = 0.75  # of the memory that is free: training needs some too
_THREADS = min(8, os.cpu_count() or 1)


class Pictures(Protocol):
    """A sequence of pictures `[C, H, W]` of one type; a tensor `[N, C, H, W]` is one too."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor: ...


@dataclass(frozen=True)
class Files(Generic[Item]):
    """Pictures that are read when they are asked for, each from one item: a path, or a pair of paths."""

    items: Sequence[Item]
    read: Callable[[Item], Tensor]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int, /) -> Tensor:
        return self.read(self.items[index])


@dataclass(frozen=True)
class Holed:
    """Pictures in memory but for those that cannot be read, which are told when they are asked for."""

    held: Sequence[Tensor] | Tensor
    faults: Mapping[int, BadFile]

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: int, /) -> Tensor:
        if index in self.faults:
            raise BadFile(str(self.faults[index]))
        return self.held[index]


def pictures(
    items: Sequence[Item],
    read: Callable[[Item], Tensor],
    cache: Cache,
    skips_bad: bool = False,
    one_size: bool = True,
) -> Pictures:
    """The items' pictures; `memory` reads them at once, if there is room, and `device` keeps them on
    the GPU, which then crops and flips them too, where they are of one size. With `skips_bad`, one that cannot be read
    is told only when it is asked for.

    The tensor of a memory cache is complete before it is returned and never written again. So forked workers share
    its pages, spawned workers get it through torch's shared memory, and neither needs a lock.

    Warns:
        UserWarning: too little memory is free; the pictures will be read from their files each time, or stay in the
            host's memory.
    """
    files = Files(items, read)
    if cache == "none":
        return files
    held = _held_in_memory(files, skips_bad) if one_size else _held_one_by_one(files, skips_bad)
    return _on_device(held) if cache == "device" and isinstance(held, Tensor) else held


def _on_device(held: Tensor) -> Tensor:
    device = torch.accelerator.current_accelerator(check_available=True)
    try:
        return held if device is None else held.to(device)
    except torch.OutOfMemoryError:
        size = f"{held.numel() / 2**30:.1f} GiB"
        warnings.warn(
            f"`cache: device` needs {size} of the GPU's memory, which are not free: keeping the pictures in the host's",
            stacklevel=4,
        )
        return held


def _held_in_memory(files: Files[Item], skips_bad: bool) -> Pictures:
    first = _first(files, skips_bad)
    if not _fit_into_memory(len(files) * first.nbytes, len(files)):
        return files
    held = torch.empty((len(files), *first.shape), dtype=first.dtype)
    faults = _filled(held, files, skips_bad)
    return Holed(held, faults) if faults else held


def _held_one_by_one(files: Files[Item], skips_bad: bool) -> Pictures:
    """Pictures of several sizes; how much memory all need is guessed by some."""
    some = [
        _first(Files(files.items[start:], files.read), skips_bad)
        for start in range(0, len(files), 1 + len(files) // 16)
    ]
    if not _fit_into_memory(len(files) * sum(each.nbytes for each in some) // len(some), len(files)):
        return files
    held = [some[0]] * len(files)
    faults = _filled(held, files, skips_bad)
    return Holed(held, faults) if faults else held


def _fit_into_memory(needed: int, count: int) -> bool:
    free = _free_bytes()
    if free is None or needed <= _USABLE * free:
        return True
    warnings.warn(
        f"`cache: memory` needs {needed / 2**30:.1f} GiB for {count} pictures, "
        f"but only {free / 2**30:.1f} GiB are free: reading them from their files each time",
        stacklevel=5,
    )
    return False


def _filled(held: Tensor | list[Tensor], files: Files[Item], skips_bad: bool) -> dict[int, BadFile]:
    """Read every picture into its place; those that cannot be read."""
    faults: dict[int, BadFile] = {}

    def fill(index: int) -> None:
        try:
            held[index] = files[index]
        except BadFile as fault:
            if not skips_bad:
                raise
            faults[index] = fault

    with ThreadPoolExecutor(_THREADS) as pool:
        deque(pool.map(fill, range(len(files))), maxlen=0)
    return faults


def _first(files: Files[Item], skips_bad: bool) -> Tensor:
    """A picture that tells the shape of all."""
    for index in range(len(files) - 1):
        try:
            return files[index]
        except BadFile:
            if not skips_bad:
                raise
    return files[len(files) - 1]


def _free_bytes() -> int | None:
    """The memory that a new allocation can have without swapping; None where the system does not say."""
    if not _MEMINFO.exists():
        return None
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    return int(fields["MemAvailable"].removesuffix("kB")) * 1024
