"""Loading speed on one core: a folder's pictures to training samples, against the usual Pillow pipeline.

    python benchmarks/loader.py datasets/horse2zebra/trainA

Each contender loads the same pictures in turn, round after round; a ratio is taken within a round, so that what else
the machine does weighs on both alike.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from ganforge.builtin.datasets.caching import pictures
from ganforge.builtin.datasets.folders import read_square
from ganforge.builtin.datasets.framing import Framing
from ganforge.images import list_images

LOAD_PX, CROP_PX = 286, 256


def with_pillow(path: Path, rng: random.Random) -> Tensor:
    """Decode, bicubic resize, crop, flip, normalise: as CycleGAN's reference does."""
    image = Image.open(path).convert("RGB").resize((LOAD_PX, LOAD_PX), Image.Resampling.BICUBIC)
    left, top = rng.randint(0, LOAD_PX - CROP_PX), rng.randint(0, LOAD_PX - CROP_PX)
    image = image.crop((left, top, left + CROP_PX, top + CROP_PX))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return transforms.normalize(transforms.to_dtype(transforms.pil_to_tensor(image), scale=True), [0.5] * 3, [0.5] * 3)


def seconds(load: Callable[[int, random.Random], Tensor], count: int) -> float:
    """Seconds a picture."""
    start = time.perf_counter()
    for index in range(count):
        load(index, random.Random(index))
    return (time.perf_counter() - start) / count


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--count", default=200, help="Pictures a round.")
@click.option("--rounds", default=15)
def main(folder: Path, count: int, rounds: int) -> None:
    """Print a table: milliseconds a picture, and how many times faster than Pillow, median and range over rounds."""
    torch.set_num_threads(1)
    paths = list_images(folder)[:count]
    framing = Framing(LOAD_PX, CROP_PX, flip=True)
    read = partial(read_square, channels=3, size_px=LOAD_PX)
    from_files, from_memory = pictures(paths, read, "none"), pictures(paths, read, "memory")
    contenders: dict[str, Callable[[int, random.Random], Tensor]] = {
        "Pillow": lambda index, rng: with_pillow(paths[index], rng),
        "ganforge": lambda index, rng: framing.augment(from_files[index], rng),
        "ganforge, cache: memory": lambda index, rng: framing.augment(from_memory[index], rng),
    }
    for load in contenders.values():
        seconds(load, min(20, len(paths)))
    times = [{name: seconds(load, len(paths)) for name, load in contenders.items()} for _ in range(rounds)]
    table = Table("one core", "ms a picture", "times faster", "lowest to highest")
    for name in contenders:
        ratios = [each["Pillow"] / each[name] for each in times]
        milliseconds = statistics.median(each[name] for each in times) * 1e3
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        table.add_row(name, f"{milliseconds:.3f}", f"{statistics.median(ratios):.2f}", spread)
    Console().print(table)


if __name__ == "__main__":
    main()
