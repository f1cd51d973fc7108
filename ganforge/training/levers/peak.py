"""What a machine reaches at best, measured: a recipe's FLOP/s are judged by it, not by a data sheet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ganforge.ranks.device import Precision, synchronize

SIZES = (512, 1024, 2048, 4096, 8192, 16384)
"""The sides of the square matrices that are multiplied."""
BATCHES = (1, 4, 16, 64, 256)
"""The batches for a 3x3 convolution of 256 channels, 64 x 64 pixels."""
LONG_ENOUGH_S = 0.05
"""Work that takes so long shows the peak: nothing larger is tried."""
REPEATS = 5

Work = tuple[Callable[[], object], float]


@dataclass(frozen=True)
class Peak:
    """FLOP/s, the best of several sizes and repetitions."""

    matrix_product: float
    convolution: float

    @property
    def best(self) -> float:
        """The larger of the two."""
        return max(self.matrix_product, self.convolution)


@torch.no_grad()
def measure_peak(precision: Precision) -> Peak:
    """Measure it in the type in which the networks of a run compute; `precision.set_up` has been called."""
    small = torch.zeros(8, 8, device=precision.device, dtype=precision.weights)
    with precision.forward()():
        kind = small @ small

    def product(size: int) -> Work:
        a, b = (kind.new_empty(size, size).normal_() for _ in range(2))
        return lambda: a @ b, 2.0 * size**3

    def convolution(batch: int) -> Work:
        image, weight = kind.new_empty(batch, 256, 64, 64).normal_(), kind.new_empty(256, 256, 3, 3).normal_()
        if precision.device.type == "cuda":  # the layout of its tensor cores
            image, weight = (t.to(memory_format=torch.channels_last) for t in (image, weight))
        return lambda: F.conv2d(image, weight, padding=1), 2.0 * batch * 64 * 64 * 256 * 256 * 9

    return Peak(_best(product, SIZES, precision.device), _best(convolution, BATCHES, precision.device))


def _best(make: Callable[[int], Work], sizes: Iterable[int], device: torch.device) -> float:
    """The highest FLOP/s over growing sizes."""
    best = 0.0
    for size in sizes:
        try:
            work, flops = make(size)
            seconds = _fastest(work, device)
        except torch.OutOfMemoryError:
            break
        best = max(best, flops / seconds)
        if seconds > LONG_ENOUGH_S:
            break
    return best


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest repetition; the first, in which kernels are chosen, does not count."""
    times = []
    for _ in range(1 + REPEATS):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
