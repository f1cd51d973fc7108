"""Averaging over a slow link: what docs/scale.md's model says, and what two hosts measure. As root, with iproute2.

    python benchmarks/link.py --mbit 200 --mbit 1000

Two network namespaces are two hosts; a token bucket limits what each receives. A step of the recipe is taken by one
rank alone, by both with averaging after the backward pass, and with averaging during it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ganforge.runs.run import Run
from rich.console import Console
from rich.table import Table

BRIDGE, HOSTS = "ganforge-lb", ("ganforge-l0", "ganforge-l1")
ROUNDS = 5


@click.command()
@click.option("--recipe", default="cyclegan_shapes", show_default=True)
@click.option("--mbit", "rates", multiple=True, type=int, default=(100, 400, 1600), show_default=True)
@click.argument("overrides", nargs=-1)
def main(recipe: str, rates: tuple[int, ...], overrides: tuple[str, ...]) -> None:
    """Print a table: for each rate, the model's and the measured seconds of averaging."""
    table = Table(recipe, "model s", "measured s", "step s", "model, overlapped", "measured")
    for rate in rates:
        with hosts(rate), tempfile.TemporaryDirectory() as folder:
            told = measured(recipe, overrides, Path(folder) / "told.json")
        # Two hosts: each sends and receives 2 (N - 1) / N = 1 times the bytes.
        model = told["bytes"] * 8 / (rate * 1e6)
        apart = told["alone"] + model
        overlapped = max(told["alone"], told["alone"] - told["backward"] + model)
        table.add_row(
            f"{rate} Mbit/s",
            f"{model:.3f}",
            f"{told['averaging']:.3f}",
            f"{told['apart']:.3f} (model {apart:.3f})",
            f"{overlapped:.3f} or more",
            f"{told['overlapped']:.3f}",
        )
    Console().print(table)


def measured(recipe: str, overrides: tuple[str, ...], result: Path) -> dict[str, float]:
    """Let two ranks measure."""
    addresses = {
        "MASTER_ADDR": "10.78.0.1",
        "MASTER_PORT": "29512",
        "GLOO_SOCKET_IFNAME": "eth0",
        "OMP_NUM_THREADS": "1",
    }
    addresses["TORCH_CPP_LOG_LEVEL"] = "ERROR"
    counts = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    here = [sys.executable, __file__, "--as-rank", str(result), recipe, *overrides]
    ranks = [
        subprocess.Popen(
            ["ip", "netns", "exec", host, *here], env={**os.environ, **addresses, **counts, "RANK": str(rank)}
        )
        for rank, host in enumerate(HOSTS)
    ]
    codes = [rank.wait() for rank in ranks]
    if any(codes):
        sys.exit("a rank failed")
    return json.loads(result.read_text())


def be_a_rank(result: Path, recipe: str, overrides: tuple[str, ...]) -> None:
    """Measure on one of the hosts."""
    import torch

    from ganforge.plugins.loading import load_plugins
    from ganforge.ranks import ALONE, World, joined
    from ganforge.recipe import open_recipe
    from ganforge.runs.run import Run
    from ganforge.runs.run_folder import RunFolder

    torch.set_num_threads(1)
    registry = load_plugins().registry

    def made(world: World, overlap: str) -> Run:
        settings = ("run.compile=false", f"run.overlap={overlap}", "run.epochs=1000", "run.steps=null", *overrides)
        with redirect_stdout(StringIO()):
            folder = RunFolder(Path(tempfile.mkdtemp()), writes=False)
            return Run(open_recipe(recipe, settings, registry), folder, registry, world=world)

    with joined(600) as world:
        runs = {"alone": made(ALONE, "false"), "apart": made(world, "false"), "overlapped": made(world, "true")}
        steps = {name: _stepping(run) for name, run in runs.items()}
        times: dict[str, list[float]] = {name: [] for name in runs}
        averaging = []
        for number in range(ROUNDS + 2):  # the first lay out buckets
            for name, each in steps.items():
                runs[name].trainer.stopwatch.restart()
                world.largest(0)
                took = next(each)
                if number > 1:
                    times[name].append(took)
                    if name == "apart":
                        told = runs[name].trainer.stopwatch.read()
                        averaging.append(told["seconds/averaging"] * len(runs[name].recipe.phases))
        told = {name: statistics.median(values) for name, values in times.items()}
        told["averaging"] = statistics.median(averaging)
        told["bytes"] = sum(p.nbytes for player in runs["apart"].trainer.players.values() for p in player.parameters)
        told["backward"] = told["alone"] * 2 / 3
        if world.leads:
            result.write_text(json.dumps(told))


def _stepping(run: Run) -> Iterator[float]:
    """The seconds of one step after the other."""
    batches = run.loader.batches(0)
    while True:
        micro = list(islice(batches, run.recipe.run.accumulate))
        start = time.perf_counter()
        run.trainer.step(micro)
        yield time.perf_counter() - start


@contextmanager
def hosts(mbit: int) -> Iterator[None]:
    """Two hosts behind one switch, each receiving so much a second at most."""

    def ip(*words: str) -> None:
        subprocess.run(words, check=True)

    remove()
    try:
        ip("ip", "link", "add", BRIDGE, "type", "bridge")
        ip("ip", "link", "set", BRIDGE, "up")
        for number, host in enumerate(HOSTS):
            port = f"ganforge-w{number}"
            ip("ip", "netns", "add", host)
            ip("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host)
            ip("ip", "link", "set", port, "master", BRIDGE, "up")
            for link in ("lo", "eth0"):
                ip("ip", "-n", host, "link", "set", link, "up")
            ip("ip", "-n", host, "addr", "add", f"10.78.0.{number + 1}/24", "dev", "eth0")
            ip("tc", "qdisc", "add", "dev", port, "root", "tbf", *bucket(mbit))
        yield
    finally:
        remove()


def bucket(mbit: int) -> list[str]:
    """A token bucket of 5 ms: a larger one would let the first bytes through for nothing."""
    return ["rate", f"{mbit}mbit", "burst", str(max(16_000, mbit * 625)), "latency", "50ms"]


def remove() -> None:
    """Take the hosts away."""
    links = [["ip", "link", "del", name] for name in (BRIDGE, "ganforge-w0", "ganforge-w1")]
    for words in [*(["ip", "netns", "del", host] for host in HOSTS), *links]:
        subprocess.run(words, capture_output=True, check=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-rank"]:
        be_a_rank(Path(sys.argv[2]), sys.argv[3], tuple(sys.argv[4:]))
    else:
        main()
