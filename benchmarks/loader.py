"""Loading speed on one core, and what a step waits: CycleGAN's pairs, against the usual Pillow pipeline.

    python benchmarks/loader.py datasets/horse2zebra/trainA

Everything is measured on the engine's own loader, as training uses it. The contenders load the same pictures in turn,
round after round; a ratio is taken within a round, so that what else the machine does weighs on both alike.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import click
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from timing import show
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms  # type: ignore[import-untyped]

from ganforge.builtin.datasets import UnpairedFolders
from ganforge.builtin.datasets.caching import Cache
from ganforge.images import list_images
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.training.loader import Loader

LOAD_PX, CROP_PX = 286, 256


def with_pillow(path: Path, rng: random.Random) -> Tensor:
    """Decode, bicubic resize, crop, flip, normalise: as CycleGAN's reference does."""
    image = Image.open(path).convert("RGB").resize((LOAD_PX, LOAD_PX), Image.Resampling.BICUBIC)
    left, top = rng.randint(0, LOAD_PX - CROP_PX), rng.randint(0, LOAD_PX - CROP_PX)
    image = image.crop((left, top, left + CROP_PX, top + CROP_PX))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return transforms.normalize(transforms.to_dtype(transforms.pil_to_tensor(image), scale=True), [0.5] * 3, [0.5] * 3)


def linked(paths: list[Path], root: Path) -> Path:
    """The pictures as both domains of an unpaired data set."""
    for folder in (root / "trainA", root / "trainB"):
        folder.mkdir()
        for path in paths:
            (folder / path.name).symlink_to(path.resolve())
    return root


def loader(root: Path, batch_size: int, cache: Cache, workers: int = 0) -> Loader:
    samples = UnpairedFolders(root, load_px=LOAD_PX, crop_px=CROP_PX, cache=cache).train()
    return Loader(samples, Division(batch_size), workers, seed=0, precision=Precision("fp32", torch.device("cpu")))


def consume(items: Iterator[Any], count: int) -> float:
    """Seconds that so many items take."""
    start = time.perf_counter()
    for _ in islice(items, count):
        pass
    return time.perf_counter() - start


def speeds(root: Path, paths: list[Path], batch_size: int, rounds: int) -> None:
    """Images a second, and how many times faster than Pillow: median and range over rounds."""
    batches = len(paths) // batch_size
    pictures = batches * batch_size * 2
    from_files, from_memory = loader(root, batch_size, "none"), loader(root, batch_size, "memory")
    rng = random.Random(0)
    contenders: dict[str, Callable[[], float]] = {
        "Pillow, float": partial(consume, (with_pillow(path, rng) for path in cycle(paths)), pictures),
        "ganforge, uint8 batch": partial(consume, from_files.made(0), batches),
        "ganforge, float batch": partial(consume, from_files.batches(0), batches),
        "cache: memory, uint8 batch": partial(consume, from_memory.made(0), batches),
        "cache: memory, float batch": partial(consume, from_memory.batches(0), batches),
    }
    times = [{name: load() / pictures for name, load in contenders.items()} for _ in range(rounds + 1)][1:]
    show("one core", times, rate="images/s")


KINDS: tuple[tuple[str, Cache, int], ...] = (("cache: memory", "memory", 0), ("2 workers", "none", 2))


def waits(root: Path, batch_size: int, step_s: float, steps: int = 60) -> Table:
    """What a step waits for its batch where steps keep one core busy, as launching a GPU's kernels does."""
    table = Table(f"steps of {step_s * 1e3:.0f} ms", "ms waited", "share of a step")
    for name, cache, workers in KINDS:
        waited = []
        with closing(loader(root, batch_size, cache, workers).made(0)) as batches:
            for _ in range(steps):
                end = time.perf_counter() + step_s
                while time.perf_counter() < end:
                    pass
                waited.append(consume(batches, 1))
        median = statistics.median(waited[steps // 5 :])
        table.add_row(name, f"{median * 1e3:.3f}", f"{median / step_s:.2%}")
    return table


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=100, help="Pictures in each of both domains.")
@click.option("--batch-size", default=1)
@click.option("--rounds", default=11)
@click.option("--step", "step_ms", default=50.0, help="Milliseconds of a step that waits for its batch.")
def main(folder: Path, count: int, batch_size: int, rounds: int, step_ms: float) -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    paths = list_images(folder)[:count]
    with tempfile.TemporaryDirectory() as made:
        root = linked(paths, Path(made))
        speeds(root, paths, batch_size, rounds)
        Console().print(waits(root, batch_size, step_ms / 1e3))


if __name__ == "__main__":
    main()
