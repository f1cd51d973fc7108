"""Pictures by index: read from files each time, or read once and held in memory."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor

Cache = Literal["none", "memory", "device"]
Item = TypeVar("Item")

_MEMINFO = Path("/proc/meminfo")
_USABLE = 0.75  # of the memory that is free: training needs some too
_THREADS = min(8, os.cpu_count() or 1)


class Pictures(Protocol):
    """So many pictures of one shape, uint8 `[C, H, W]`; a uint8 tensor `[N, C, H, W]` is one too."""

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


def pictures(items: Sequence[Item], read: Callable[[Item], Tensor], cache: Cache) -> Pictures:
    """The items' pictures, all of one shape; `memory` reads them at once, if there is room, and `device` keeps them on
    the GPU, which then crops and flips them too.

    The tensor of a memory cache is complete before it is returned and never written again. So forked workers share
    its pages, spawned workers get it through torch's shared memory, and neither needs a lock.

    Warns:
        UserWarning: too little memory is free; the pictures will be read from their files each time, or stay in the
            host's memory.
    """
    files = Files(items, read)
    if cache == "none":
        return files
    held = _held_in_memory(files)
    return _on_device(held) if cache == "device" and isinstance(held, Tensor) else held


def in_workers(*held: Pictures) -> bool:
    """Whether worker processes can reach these pictures."""
    return all(not isinstance(each, Tensor) or each.device.type == "cpu" for each in held)


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


def _held_in_memory(files: Files[Item]) -> Pictures:
    first = files[0]
    needed, free = len(files) * first.numel(), _free_bytes()
    if free is not None and needed > _USABLE * free:
        warnings.warn(
            f"`cache: memory` needs {needed / 2**30:.1f} GiB for {len(files)} pictures, "
            f"but only {free / 2**30:.1f} GiB are free: reading them from their files each time",
            stacklevel=4,
        )
        return files
    held = torch.empty((len(files), *first.shape), dtype=torch.uint8)

    def fill(index: int) -> None:
        held[index] = files[index]

    with ThreadPoolExecutor(_THREADS) as pool:
        deque(pool.map(fill, range(len(files))), maxlen=0)
    return held


def _free_bytes() -> int | None:
    """The memory that a new allocation can have without swapping; None where the system does not say."""
    if not _MEMINFO.exists():
        return None
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    return int(fields["MemAvailable"].removesuffix("kB")) * 1024
