"""`ganforge runs`."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganforge.commands._common import printable, warn, wide_console
from ganforge.commands._options import PATH
from ganforge.errors import RecipeError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from ganforge.sharing.records import Record

COLOURS = {"running": "cyan", "finished": "green", "failed": "red", "killed": "red", "interrupted": "yellow"}
ROWS = 30
WIDE = 10_000
"""Columns where the output is no terminal: what is searched in is not cut."""


@click.command()
@click.argument("folders", nargs=-1, type=PATH, metavar="[FOLDER]...")
@click.option("--compare", is_flag=True, help="Compare the runs in the folders instead of listing them.")
@click.option("--all", "everything", is_flag=True, help=f"List more than the {ROWS} newest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(folders: tuple[Path, ...], compare: bool, everything: bool, as_json: bool) -> None:
    """List the runs in FOLDERs, by default those under ./runs, the newest first.

    Two runs or more are compared: where their recipes and versions differ, and what they reached; * marks the best.

    \b
    Examples:
      ganforge runs
      ganforge runs runs/cyclegan_shapes --json
      ganforge runs runs/cyclegan_shapes/0001 runs/cyclegan_shapes/0002
      ganforge runs --compare runs/cyclegan_shapes
    """
    from ganforge.sharing.records import find_records

    if not folders and not Path("runs").is_dir():
        raise UsageError("there are no runs here: ./runs does not exist", "name a folder, or `ganforge run` a recipe")
    records, unread = find_records(folders or (Path("runs"),))
    for reason in unread:
        warn(printable(reason))
    runs = [folder.resolve() for folder in folders if (folder / "run.json").is_file()]
    named = len(runs) == len(folders)  # which are compared in the order given, others from the oldest on
    if compare or (named and len(runs) > 1):
        if len(records) < 2:
            raise UsageError(f"to compare takes two runs or more, and here is {len(records) or 'none'}")
        records.sort(key=lambda record: runs.index(record.path.resolve())) if named and runs else records.reverse()
        _compare(records, as_json)
    elif as_json:
        _print_json([_entry(record) for record in records])
    else:
        _list(records, everything)


# Listing


def _list(records: Sequence[Record], everything: bool) -> None:
    if not records:
        click.echo("no runs yet")
        return
    shown = records if everything else records[:ROWS]
    table = _table("run", "status", "step", "age", "img/s", "figures")
    for index in (2, 4):
        table.columns[index].justify = "right"
    rows = [_row(record) for record in shown]
    console = wide_console(WIDE)
    *columns, figures = table.columns
    widths = [
        max(len(str(c.header)), *map(len, cells)) for c, cells in zip(columns, zip(*rows, strict=True), strict=False)
    ]
    figures.max_width = max(len("figures"), console.width - sum(widths) - 2 * len(widths))  # what is cut first
    for name, status, *others in rows:
        table.add_row(_text(name), _text(status, COLOURS.get(status, "")), *map(_text, others))
    console.print(table)
    if hidden := len(records) - len(shown):
        click.echo(f"and {hidden} more: --all")


def _row(record: Record) -> list[str]:
    speed = record.images_per_second
    return [
        record.name,
        record.status,
        _progress(record),
        _age(record.started),
        "" if speed is None else f"{speed:.3g}",
        _told(record),
    ]


def _progress(record: Record) -> str:
    if not record.total_steps or record.step == record.total_steps:
        return _short(record.step)
    return f"{_short(record.step)}/{_short(record.total_steps)} {100 * record.step // record.total_steps:2d}%"


def _short(count: int) -> str:
    """At most five characters: 950, 12.5k, 300k, 1.2M."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if count >= 10 * size or (count >= size and letter == "M"):
            return f"{count / size:.1f}".removesuffix(".0") + letter
    return str(count)


def _age(started: datetime.datetime | None) -> str:
    if started is None:
        return ""
    minutes = max(0, int((datetime.datetime.now(datetime.UTC) - started).total_seconds() // 60))
    for size, letter in ((24 * 60, "d"), (60, "h")):
        if minutes >= size:
            return f"{minutes // size} {letter}"
    return f"{minutes} min"


def _told(record: Record) -> str:
    """What is wrong, where it comes from, then the figures."""
    count = len(record.diagnoses)
    wrong = [f"{count} {'diagnosis' if count == 1 else 'diagnoses'}"] if count else []
    wrong += [f"from {record.ancestor[0]} at {record.ancestor[1]}"] if record.ancestor else []
    # Numbers first: what a narrow terminal cuts are the names.
    return ", ".join([*wrong, *(f"{value:.4g} {name}" for name, value in record.figures.items())])


# Comparing


def _compare(records: Sequence[Record], as_json: bool) -> None:
    from ganforge.sharing import comparing

    try:
        recipes = comparing.recipe_differences(records)
    except RecipeError as error:
        raise UsageError(f"a run's recipe cannot be read: {error}") from error
    versions, figures = comparing.version_differences(records), comparing.figures(records)
    if as_json:
        entries = [_entry(record) for record in records]
        _print_json({"runs": entries, "recipe": recipes, "versions": versions, "figures": figures})
        return
    heads = _heads(records)
    _print_rows("recipe", heads, [[key, *map(_shown, values)] for key, values in recipes.items()])
    _print_rows("versions", heads, [[key, *map(str, values)] for key, values in versions.items()])
    reached = [["status", *(record.status for record in records)], ["step", *(str(record.step) for record in records)]]
    for name, values in figures.items():
        best = comparing.best(name, records)
        marked = [("-" if v is None else f"{v:.5g}") + (" *" if best is not None and v == best else "") for v in values]
        reached.append([name, *marked])
    speeds = [record.images_per_second for record in records]
    reached.append(["images/s", *("-" if speed is None else f"{speed:.4g}" for speed in speeds)])
    _print_rows("reached", heads, reached)


def _heads(records: Sequence[Record]) -> list[str]:
    """The heads of the columns: numbers alone where all are runs of one recipe."""
    parents = {record.path.resolve().parent for record in records}
    return [record.path.resolve().name if len(parents) == 1 else record.name for record in records]


def _print_rows(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        click.echo(f"{title}: the same\n")
        return
    table = _table(title, *heads)
    for column in table.columns:
        column.no_wrap, column.overflow = False, "fold"
    for key, *values in rows:
        table.add_row(_text(key), *(_text(value, "bold green" if value.endswith(" *") else "") for value in values))
    wide_console(WIDE).print(table)
    click.echo()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# Printing


def _text(text: str, style: str = "") -> Any:
    from rich.text import Text

    return Text(printable(text), style)


def _table(*heads: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(_text(head), no_wrap=True, overflow="ellipsis")
    return table


def _entry(record: Record) -> dict[str, Any]:
    return {
        "path": str(record.path),
        "name": record.name,
        "recipe": record.recipe,
        "status": record.status,
        "step": record.step,
        "total_steps": record.total_steps,
        "started": record.started and record.started.isoformat(),
        "ended": record.ended and record.ended.isoformat(),
        "images_per_second": record.images_per_second,
        "figures": record.figures,
        "best": {name: {"step": step, "value": value} for name, (step, value) in record.best.items()},
        "diagnoses": record.diagnoses,
        "ancestor": record.ancestor and dict(zip(("run", "step"), record.ancestor, strict=True)),
        "changes": record.changes,
    }


def _print_json(value: Any) -> None:
    click.echo(json.dumps(_finite(value), indent=2))


def _finite(value: Any) -> Any:
    """The value with None for what JSON does not know: NaN and infinity."""
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value
