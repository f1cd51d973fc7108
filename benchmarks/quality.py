"""Whether low precision costs quality: a recipe with known truth, trained in both, for some seeds.

    python benchmarks/quality.py cyclegan_shapes --seeds 2

Four minutes a training on two cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table


def metrics(recipe: str, overrides: list[str]) -> dict[str, float]:
    """What a training reaches, and `steps a second`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ganforge", "run", recipe, "--out", folder, *overrides]
        subprocess.run(command, check=True, capture_output=True)
        (record,) = Path(folder).glob("*/*/run.json")
        written = json.loads(record.read_text(encoding="utf-8"))
        return dict(written["metrics"]) | {"images per second": written["images_per_second"]}


@click.command()
@click.argument("recipe", default="cyclegan_shapes")
@click.option("--seeds", default=2)
@click.option("--precisions", default="fp32,bf16", show_default=True)
@click.argument("overrides", nargs=-1)
def main(recipe: str, seeds: int, precisions: str, overrides: tuple[str, ...]) -> None:
    """Print a table of the recipe's metrics."""
    table: Table | None = None
    for seed in range(seeds):
        for precision in precisions.split(","):
            reached = metrics(recipe, [*overrides, f"run.precision={precision}", f"run.seed={seed}"])
            table = table or Table("seed", "precision", *reached)
            table.add_row(str(seed), precision, *(f"{value:.3g}" for value in reached.values()))
            print(f"seed {seed}, {precision}: {reached}", file=sys.stderr, flush=True)
    if table:
        Console(width=None if Console().is_terminal else 160).print(table)


if __name__ == "__main__":
    main()
