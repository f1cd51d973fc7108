"""This checkout against another one: a tiny CycleGAN step, where nothing but the engine's own overhead is left; and
loading, where there are pictures to load.

    git worktree add ../before COMMIT && (cd ../before && uv sync)
    python benchmarks/against.py ../before
    python benchmarks/against.py ../before --data datasets/horse2zebra

One process for each checkout, with that one's environment and that one's `benchmarks/step.py`; they take turns, so that
both meet the same weather. The ratio is the other's time by this one's: above 1 this checkout is faster.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import click

WAYS = {
    "levers off": ("run.merge=false", "run.compile=false", "run.fused=false"),
    "merged, fused": ("run.merge=true", "run.compile=false", "run.fused=true"),
}
WORKER = """
import sys, time, warnings
sys.path.insert(0, "benchmarks")
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
import step
setting = step.Setting(32, 1, 4, 1, 2)
trainer = step.engine(setting, "fp32", torch.device("cpu"), *sys.argv[2:])
generator = torch.Generator().manual_seed(0)
batch = {name: torch.rand(1, 3, 32, 32, generator=generator) * 2 - 1 for name in ("real_a", "real_b")}
for _ in range(20):
    trainer.step([batch])
for _ in sys.stdin:
    began = time.perf_counter()
    for _ in range(int(sys.argv[1])):
        trainer.step([batch])
    print("took", time.perf_counter() - began, flush=True)
"""


LOADS = {"from files": "none", "from memory": "memory"}
LOADING = """
import sys, time, warnings
from itertools import islice
from pathlib import Path
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from ganforge.builtin.datasets import UnpairedFolders
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.training.loader import Loader
data = UnpairedFolders(Path(sys.argv[3]), cache=sys.argv[2])
data.prepare()
loader = Loader(data.train(), Division(1), 0, 0, Precision("fp32", torch.device("cpu")))
batches = loader.batches(0)
for _ in sys.stdin:
    began = time.perf_counter()
    for _ in islice(batches, int(sys.argv[1])):
        pass
    print("took", time.perf_counter() - began, flush=True)
"""


class Checkout:
    """A process that takes steps, or loads batches, when it is asked to."""

    def __init__(self, folder: Path, worker: str, steps: int, options: tuple[str, ...]) -> None:
        command = [str(folder / ".venv/bin/python"), "-c", worker, str(steps), *options]
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
        )

    def seconds(self) -> float:
        """How long so many steps take."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("took "):
                return float(line.removeprefix("took "))
        raise SystemExit("a checkout's process has ended: see its error above")


@click.command()
@click.argument("other", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rounds", default=20, show_default=True)
@click.option("--steps", default=20, show_default=True, help="Steps, or batches, in a row.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Load from here instead.")
def main(other: Path, rounds: int, steps: int, data: Path | None) -> None:
    """Print, for each way, the median ratio of both checkouts' times and its quartiles."""
    here = Path(__file__).resolve().parents[1]
    worker = WORKER if data is None else LOADING
    loads = {name: (cache, str(data and data.resolve())) for name, cache in LOADS.items()}
    for name, options in (WAYS if data is None else loads).items():
        theirs, ours = (Checkout(folder, worker, steps, options) for folder in (other.resolve(), here))
        ratios = []
        for turn in range(rounds):
            first, second = (theirs, ours) if turn % 2 else (ours, theirs)
            times = {first: first.seconds(), second: second.seconds()}
            ratios.append(times[theirs] / times[ours])
        low, middle, high = statistics.quantiles(ratios, n=4)
        click.echo(f"{name:14} {middle:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
