"""Peak memory of a CycleGAN step: with and without recomputed activations, in each precision.

    python benchmarks/memory.py --size 256 --batch 1

Each setting runs in a process of its own. On a GPU it is what torch reserved at most; on a CPU, what the process had.
"""

from __future__ import annotations

import json
import subprocess
import sys

import click
from rich.console import Console
from rich.table import Table

SETTINGS = {
    "fp32": ["run.precision=fp32"],
    "fp32, recomputed generators": ["run.precision=fp32", "run.recompute=[G_ab, G_ba]"],
    "bf16": ["run.precision=bf16"],
    "bf16, recomputed generators": ["run.precision=bf16", "run.recompute=[G_ab, G_ba]"],
}


@click.command()
@click.option("--size", default=256, help="Pixels of a side.")
@click.option("--batch", default=1)
def main(size: int, batch: int) -> None:
    """Print a table: GiB, and milliseconds a step."""
    table = Table(f"CycleGAN, {size} x {size}, batch {batch}", "peak GiB", "ms a step")
    shape = [f"data.crop_px={size}", f"data.load_px={size}", f"data.batch_size={batch}", "run.compile=false"]
    for name, overrides in SETTINGS.items():
        command = [sys.executable, "-m", "ganforge", "bench", "cyclegan_horse2zebra", "--no-data", "--json"]
        command += ["--steps", "2", *shape, *overrides, "run.images=[]", "run.steps=10"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            table.add_row(name, "failed", done.stderr.strip().splitlines()[-1])
            continue
        measured = json.loads(done.stdout)
        milliseconds = measured["step"]["seconds"]["median"] * 1e3
        table.add_row(name, f"{measured['peak_memory_gib']:.2f}", f"{milliseconds:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
