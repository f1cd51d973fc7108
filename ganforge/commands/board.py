"""`ganforge board`."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from ganforge.commands._options import PATH
from ganforge.errors import EnvironmentFault, UsageError

SHOWN = 2
"""Runs whose panels are pinned."""
PINNED = ("scores/", "losses/cycle", "metrics/")
"""The scalars that stand on top of the page, two for each beginning."""
FIRST_EVENTS = 2000
# What TensorBoard says at each start, and nobody needs.
NOISE = ("TensorFlow installation not found", "experimental fast data loading", "--load_fast=false", "issues/4784")
OPTIONS = ("--reload_interval", "15", "--samples_per_plugin", "images=1000,scalars=100000,text=100")


@click.command()
@click.argument("runs", nargs=-1, type=PATH)
@click.option("--port", type=click.IntRange(0, 65535), default=6006, show_default=True)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="TensorBoard has no login: leave this unless you mean it."
)
def command(runs: tuple[Path, ...], port: int, host: str) -> None:
    """Open TensorBoard on RUNS, by default on all under ./runs: every image kept, reloading by itself.

    \b
    Examples:
      ganforge board
      ganforge board runs/cyclegan_shapes/0001
      ganforge board runs/cyclegan_shapes/0001 runs/cyclegan_shapes/0002 --port 6007
    """
    folders = runs or (Path("runs"),)
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}; give a run's folder, or run a recipe first")
    with tempfile.TemporaryDirectory() as shown:
        names = _arrange(folders, Path(shown))
        click.echo(f"TensorBoard: {link(host, port, names)}")
        click.echo("Ctrl-C ends it.")
        _serve(["--logdir", shown, "--host", host, "--port", str(port), *OPTIONS])


def _arrange(folders: Iterable[Path], shown: Path) -> dict[str, Path]:
    """Links to the runs in these folders, by `recipe/number`, in the folder that TensorBoard is shown; newest first.

    Otherwise it would call a run that is opened alone `.`, and not find it again for a pinned card.
    """
    runs = {record.parent.resolve() for folder in folders for record in folder.rglob("run.json")}
    names: dict[str, Path] = {}
    for run in sorted(runs, key=lambda run: -(run / "run.json").stat().st_mtime):
        name = f"{run.parent.name}/{run.name}"
        while name in names:  # another folder's run of the same name
            name += "_"
        names[name] = run
        (shown / name).parent.mkdir(exist_ok=True)
        (shown / name).symlink_to(run, target_is_directory=True)
    return names


def _serve(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "tensorboard.main", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        for line in process.stderr or ():
            if line.strip() and not any(noise in line for noise in NOISE):
                click.echo(line, nl=False, err=True)
        if process.wait() > 0:
            raise EnvironmentFault("TensorBoard could not be started; its own words stand above")
    except KeyboardInterrupt:
        process.terminate()
        process.wait()


def link(host: str, port: int, runs: Mapping[str, Path]) -> str:
    """A curated page: smoothed time series, with the panels of the newest runs and what to look at first on top."""
    pinned: list[dict[str, object]] = []
    for name, run in list(runs.items())[:SHOWN]:
        panels = sorted(path.name for path in (run / "images").glob("*") if path.is_dir())
        card = {"plugin": "images", "runId": f"defaultExperimentId/{name}", "sample": 0}
        pinned += [{**card, "tag": f"images/{panel}"} for panel in panels]
    newest = next(iter(runs.values()), None)
    pinned += [{"plugin": "scalars", "tag": tag} for tag in (_first_looks(newest) if newest else ())]
    query = urllib.parse.urlencode({"pinnedCards": json.dumps(pinned, separators=(",", ":")), "smoothing": 0.6})
    return f"http://{host}:{port}/?{query}#timeseries"


def _first_looks(run: Path) -> Iterator[str]:
    """Two scalars of each kind that says most, the scores of one judge: of those that the run's events begin with."""
    tags = [tag for tag in _tags(run) if not tag.endswith("/pooled")]
    for beginning in PINNED:
        some = [tag for tag in tags if tag.startswith(beginning)]
        judges = [tag.rpartition("/")[0] if beginning == "scores/" else beginning for tag in some]
        yield from [tag for tag, judge in zip(some, judges, strict=True) if judge == judges[0]][:2]


def _tags(run: Path) -> list[str]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader  # type: ignore[import-untyped]

    found: dict[str, None] = {}
    for path in sorted(run.glob("events.out.tfevents.*"))[:1]:
        for event in itertools.islice(EventFileLoader(str(path)).Load(), FIRST_EVENTS):
            found |= dict.fromkeys(value.tag for value in event.summary.value)
    return list(found)
