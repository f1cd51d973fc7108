"""How a step's time changes with the number of ranks, at the same batch a rank: processes of one thread each, on CPUs.

    python benchmarks/scaling.py --recipe cyclegan_shapes --ranks 2
    python benchmarks/scaling.py --recipe cyclegan_horse2zebra data.root=datasets/horse2zebra

In each round, one after the other: one process alone, the others asleep; all at once, each on its own, which shows what
they take from each other (memory, clock); all together, as ranks. On GPUs it takes one a rank, under NCCL; with
`--ranks 1` it shows what being launched costs by itself.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from timing import seconds
from torch.multiprocessing.spawn import spawn

from ganforge.plugins.loading import load_plugins
from ganforge.ranks import ALONE, World, joined
from ganforge.recipe import open_recipe
from ganforge.runs.run import Run
from ganforge.runs.run_folder import RunFolder

SETTINGS = ("run.compile=false", "run.cuda_graphs=false", "run.epochs=1000", "run.steps=null")


@click.command()
@click.option("--recipe", default="cyclegan_shapes", show_default=True)
@click.option("--ranks", default=2, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--steps", default=4, show_default=True, help="Steps of each kind in a round.")
@click.argument("overrides", nargs=-1)
def main(recipe: str, ranks: int, rounds: int, steps: int, overrides: tuple[str, ...]) -> None:
    """Print a table: each kind of step against that of one process alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    spawn(work, (recipe, overrides, rounds, steps), nprocs=ranks)


def work(rank: int, recipe: str, overrides: tuple[str, ...], rounds: int, steps: int) -> None:
    """Be one of the ranks."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    with joined(600) as world:
        one, ours = (Steps(recipe, overrides, each) for each in (ALONE, world))
        ratios: dict[str, list[float]] = {"each on its own, all at once": [], "together": [], "of it, averaging": []}
        for number in range(rounds + 1):
            alone = world.from_first(world.first_alone(lambda: seconds(one.step, steps)))
            world.largest(0)
            crowded = slowest(world, seconds(one.step, steps))
            ours.run.trainer.stopwatch.restart()
            together = slowest(world, seconds(ours.step, steps))
            told = ours.run.trainer.stopwatch.read()
            averaging = told.get("seconds/averaging", 0.0) * len(ours.run.recipe.phases)
            if number:  # the first round warms up
                for values, took in zip(ratios.values(), (crowded, together, averaging), strict=True):
                    values.append(took / alone)
        if world.leads:
            show(f"{recipe}, {world.size} ranks, {ours.run.division.batch} samples each", ratios, ours.run)
    sys.stdout.flush()
    os._exit(0)  # as the command does: Python would take torch's threads apart, which now and then aborts


class Steps:
    """A run whose steps can be taken one by one."""

    def __init__(self, recipe: str, overrides: tuple[str, ...], world: World) -> None:
        registry = load_plugins().registry
        folder = Path(tempfile.mkdtemp())
        with redirect_stdout(StringIO()):
            read = open_recipe(recipe, (*SETTINGS, *overrides), registry)
            self.run = Run(read, RunFolder(folder, writes=False), registry, world=world)
        self.batches = self.run.loader.batches(0)

    def step(self) -> None:
        micro = list(islice(self.batches, self.run.recipe.run.accumulate))
        self.run.trainer.step(micro)
        self.run.trainer.stopwatch.steps += 1


def slowest(world: World, took: float) -> float:
    """The seconds of the slowest rank."""
    return max(world.gather(took))


def show(title: str, ratios: dict[str, list[float]], run: Run) -> None:
    """The table, and how much travels."""
    table = Table(title, "times one process alone", "lowest to highest")
    for name, values in ratios.items():
        table.add_row(name, f"{statistics.median(values):.3f}", f"{min(values):.3f} to {max(values):.3f}")
    Console().print(table)
    sizes = {name: sum(p.nbytes for p in player.parameters) / 2**20 for name, player in run.trainer.players.items()}
    for name, size in sizes.items():
        Console().print(f"gradients of {name}: {size:.1f} MiB a step")


if __name__ == "__main__":
    main()
