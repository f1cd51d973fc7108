"""`ganforge board`."""

from __future__ import annotations

import json
import os
import sys
import urllib.parse
from pathlib import Path

import click

from ganforge.errors import EnvironmentFault, UsageError

PINNED = 2


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
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
    where = ["--logdir", str(folders[0])] if len(folders) == 1 else ["--logdir_spec", _named(folders)]
    click.echo(f"TensorBoard: {link(host, port, _listed(folders))}")
    click.echo("Ctrl-C ends it.")
    arguments = [sys.executable, "-m", "tensorboard.main", *where, "--host", host, "--port", str(port)]
    arguments += ["--reload_interval", "15", "--samples_per_plugin", "images=1000,scalars=100000,text=100"]
    sys.stdout.flush()
    try:
        os.execv(sys.executable, arguments)
    except OSError as error:
        raise EnvironmentFault(f"TensorBoard could not be started: {error}") from error


def _name(folder: Path) -> str:
    path = folder.resolve()
    return f"{path.parent.name}/{path.name}"


def _named(folders: tuple[Path, ...]) -> str:
    return ",".join(f"{_name(folder)}:{folder}" for folder in folders)


def _listed(folders: tuple[Path, ...]) -> list[str]:
    """The runs in these folders by the names that TensorBoard gives them, the newest first."""
    runs = {
        record.parent: record.parent.relative_to(folder).as_posix() if len(folders) == 1 else _name(folder)
        for folder in folders
        for record in folder.rglob("run.json")
    }
    return [runs[path] for path in sorted(runs, key=lambda path: -(path / "run.json").stat().st_mtime)]


def link(host: str, port: int, runs: list[str]) -> str:
    """A curated page: smoothed time series, with the panels of the newest runs pinned on top."""
    pinned = [
        {"plugin": "images", "tag": "images/panel", "runId": f"defaultExperimentId/{run}", "sample": 0}
        for run in runs[:PINNED]
    ]
    query = urllib.parse.urlencode({"pinnedCards": json.dumps(pinned, separators=(",", ":")), "smoothing": 0.6})
    return f"http://{host}:{port}/?{query}#timeseries"
