"""A large picture translated whole, in tiles with shared statistics, and in plain tiles: error, memory and time.

    python benchmarks/tiling.py --size 2048
    python benchmarks/tiling.py --size 1024 --run runs/cyclegan_horse2zebra/0001 --picture photo.jpg

Without a run it is the generator of the CycleGAN recipe with random weights. Each contender runs in a process of its
own; its peak is all that the process had, torch itself included. A plain tile normalises with its own statistics, from
itself and the same surroundings as the others'.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ganforge import images
from ganforge.inference.tiling import Tiling
from ganforge.inference.tiling.grid import Axis, Grid

CONTENDERS = {
    "whole": "whole",
    "tiled": "in tiles of {tile}",
    "plain": "in plain tiles of {tile}",
    "start": "(torch, network, picture)",
}


def generator(run: str) -> Callable[[Tensor], Tensor]:
    """A trained run's first direction, or the untrained generator."""
    if run:
        import ganforge

        return ganforge.load(run, device="cpu").compute
    from ganforge_cyclegan.generators import ResnetGenerator

    torch.manual_seed(0)
    return ResnetGenerator().eval()


def scene(size: int, path: str) -> Tensor:
    """A picture whose parts differ as those of a photograph do: a dark, blurred side and a bright, rough one."""
    if path:
        return images.to_float(images.resize(images.read_image(Path(path)), size, size))[None]
    seeded = torch.Generator().manual_seed(0)
    rough = torch.rand(1, 3, size, size, generator=seeded)
    coarse = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 8, generator=seeded), size=(size, size), mode="bicubic"
    )
    across = torch.linspace(0, 1, size)
    return (coarse * across + 0.5 * rough * across.square()).clamp(0, 1) * 2 - 1


def plain(function: Callable[[Tensor], Tensor], picture: Tensor, tile: int, halo: int = 16) -> Tensor:
    """Every tile as if it were a picture of its own."""
    made = torch.empty_like(picture)
    grid = Grid(*(Axis.cut(side, tile, halo, 4) for side in picture.shape[2:]))
    for place in grid.places():
        ((top, bottom), (left, right)), ((above, below), (before, behind)) = grid.inner(place), grid.outer(place)
        done = function(picture[:, :, above:below, before:behind])
        made[:, :, top:bottom, left:right] = done[:, :, top - above : bottom - above, left - before : right - before]
    return made


def contend(name: str, tile: int, run: str, folder: Path) -> None:
    """Run one of them in this process, and print what it took."""
    picture = torch.load(folder / "picture")
    function = generator(run)
    start = time.process_time()
    with torch.inference_mode():
        if name == "whole":
            torch.save(function(picture), folder / name)
        elif name == "tiled":
            torch.save(Tiling(function, 3)(picture, tile), folder / name)
        elif name == "plain":
            torch.save(plain(function, picture, tile), folder / name)
    print(json.dumps({"seconds": time.process_time() - start, "gib": peak_gib()}))


def peak_gib() -> float:
    """The most memory that this process had: not `ru_maxrss`, in which that of its parent counts."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


@click.command()
@click.option("--size", default=2048, help="Pixels of a side.")
@click.option("--tile", default=256, help="Pixels of a tile's side.")
@click.option("--run", default="", help="A trained run, instead of random weights.")
@click.option("--picture", default="", help="A picture, instead of a made one; it is resized.")
@click.option("--contender", hidden=True)
@click.option("--folder", hidden=True, type=click.Path(path_type=Path))
def main(size: int, tile: int, run: str, picture: str, contender: str | None, folder: Path | None) -> None:
    """Print a table: the largest difference to the whole, peak GiB, and seconds of all threads together."""
    if contender and folder:
        contend(contender, tile, run, folder)
        return
    table = Table(f"{size} x {size}", "largest error", "mean error", "peak GiB", "of whole", "CPU seconds")
    with tempfile.TemporaryDirectory() as made:
        torch.save(scene(size, picture), Path(made, "picture"))
        given = ["--tile", tile, "--run", run, "--folder", made]
        peak = 0.0
        for name, title in CONTENDERS.items():
            command = [sys.executable, __file__, *map(str, given), "--contender", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            figures = json.loads(done.stdout)
            peak = peak or figures["gib"]
            errors = ["", ""]
            if name in ("tiled", "plain"):
                whole, other = (torch.load(Path(made, each)) for each in ("whole", name))
                difference = (whole - other).abs()
                errors = [f"{float(difference.max()):.1e}", f"{float(difference.mean()):.1e}"]
            row = [f"{figures['gib']:.2f}", f"{figures['gib'] / peak:.0%}", f"{figures['seconds']:.0f}"]
            table.add_row(title.format(tile=tile), *errors, *row)
    Console(width=None if Console().is_terminal else 120).print(table)


if __name__ == "__main__":
    main()
