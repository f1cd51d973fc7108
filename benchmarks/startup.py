"""Start-up: how long a command takes until something happens.

python benchmarks/startup.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import click
from timing import show, side_by_side

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "ganforge --help": ["-m", "ganforge", "--help"],
    "ganforge check": ["-m", "ganforge", "check", str(ROOT / "recipes/cyclegan_horse2zebra.yaml")],
    "to the end of a tiny run's first step": [
        *("-m", "ganforge", "run", str(ROOT / "recipes/tiny/cyclegan_shapes.yaml")),
        *("run.steps=1", "run.images=[]", "run.checkpoint_every=1000"),
    ],
}


@click.command()
@click.option("--rounds", default=7)
def main(rounds: int) -> None:
    """Print a table: milliseconds, beside what importing torch takes."""
    with tempfile.TemporaryDirectory() as folder:
        # Users' Python keeps what it compiles; some sandboxes forbid it.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

        def run(command: list[str]) -> None:
            subprocess.run([sys.executable, *command], cwd=folder, env=env, check=True, capture_output=True)

        contenders = {name: partial(run, command) for name, command in COMMANDS.items()}
        show("start-up", side_by_side(contenders, rounds))


if __name__ == "__main__":
    main()
