"""What it costs to watch a run: readings, examined steps, panels and the doctor, as a share of the time of a step.

    python benchmarks/watching.py --recipe cyclegan_shapes
    python benchmarks/watching.py --recipe cyclegan_horse2zebra data.root=datasets/horse2zebra data.workers=0

Each job is timed beside a plain step in the same round, and weighed by how often it is due by default.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from timing import seconds

from ganforge.plugins.loading import load_plugins
from ganforge.recipe import open_recipe
from ganforge.recipe.model import RunSettings
from ganforge.runs.run import Run
from ganforge.runs.run_folder import RunFolder

LOG_EVERY, IMAGES_EVERY = (RunSettings.model_fields[f"{name}_every"].default for name in ("log", "images"))


@click.command()
@click.option("--recipe", default="cyclegan_shapes", show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.argument("overrides", nargs=-1)
def main(recipe: str, rounds: int, overrides: tuple[str, ...]) -> None:
    """Print a table: each job in steps, and its share of the training at the default intervals."""
    registry = load_plugins().registry
    settings = ("run.compile=false", "run.epochs=1000", "run.steps=null", *overrides)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = Run(open_recipe(recipe, settings, registry), RunFolder(Path(folder)), registry)
        run.start()
        run._emit("run_started")
        rows = measure(run, rounds)
        run._emit("run_ended", "finished")
    table = Table(recipe, "in steps", "lowest to highest", "every", "share of the time")
    total = 0.0
    for name, every, ratios in rows:
        share = statistics.median(ratios) / every
        total += share
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        table.add_row(name, f"{statistics.median(ratios):.2f}", spread, f"{every} steps", f"{share:.2%}")
    table.add_row("together", "", "", "", f"{total:.2%}")
    Console().print(table)


def measure(run: Run, rounds: int) -> list[tuple[str, int, list[float]]]:
    """Each job, how often it is due, and how many plain steps it takes in each round."""
    batches = run.loader.batches(0)

    def step(log: bool = False, examine: bool = False) -> None:
        run.trainer.step([next(batches)], log=log, examine=examine)
        run.trainer.stopwatch.steps += 1
        run._emit("step_ended")

    def reading() -> None:
        step(log=True)
        run._read_statistics()

    def examined() -> None:
        step(examine=True)
        run._emit("distributions_read", {tag: v.float().cpu() for tag, v in run.trainer.learner.distributions.items()})

    jobs = {"reading of the statistics": (reading, LOG_EVERY, 1), "examined step": (examined, IMAGES_EVERY, 1)}
    jobs["panels"] = (run._shown.draw, IMAGES_EVERY, 0)
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        plain = seconds(step, 5)
        for name, (job, _, steps) in jobs.items():
            took = seconds(job) / plain - steps  # a job that is a step as well costs what it takes longer
            if number:  # the first round warms up
                found[name].append(took)
    return [(name, jobs[name][1], ratios) for name, ratios in found.items()]


if __name__ == "__main__":
    main()
