"""What tells runs apart: their recipes, the versions that computed, and the figures they reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ganforge.recipe.merge import flat
from ganforge.recipe.nodes import read
from ganforge.sharing.records import Record

ABSENT = "-"

Table = dict[str, list[Any]]
"""A value of each run, by the name of what is compared."""


def recipe_differences(records: Sequence[Record]) -> Table:
    """The recipes' leaves that differ, by the dotted names of overrides.

    Raises:
        RecipeError: a run's recipe cannot be read.
    """
    return _differences([flat(read(record.path / "recipe.yaml").plain()) for record in records])


def version_differences(records: Sequence[Record]) -> Table:
    """The versions and machines that differ."""
    machines = [{f"machine.{key}": value for key, value in record.machine.items()} for record in records]
    return _differences([record.versions | machine for record, machine in zip(records, machines, strict=True)])


def figures(records: Sequence[Record]) -> Table:
    """All figures, with None where a run has none."""
    names = dict.fromkeys(name for record in records for name in record.figures)
    return {name: [record.figures.get(name) for record in records] for name in names}


def best(name: str, records: Sequence[Record]) -> float | None:
    """The best value of a figure, where it can be told which way is better, and they differ."""
    known = [value for value in (record.figures.get(name) for record in records) if value is not None]
    sound = [value for value in known if math.isfinite(value)]
    judge = _judge(name, records)
    return judge(sound) if judge and len(set(sound)) > 1 else None


def _judge(name: str, records: Sequence[Record]) -> Callable[[Sequence[float]], float] | None:
    """`min` or `max`: as the metric says, or, in runs of 0.1.0, as a run's own best lies to its last figure."""
    for record in records:
        if way := record.better.get(name):
            return max if way == "higher" else min
    for record in records:
        kept, last = record.best.get(name), record.figures.get(name)
        if kept is not None and last is not None and kept[1] != last:
            return min if kept[1] < last else max
    return None


def _differences(tables: Sequence[Mapping[str, Any]]) -> Table:
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = {key: [table.get(key, ABSENT) for table in tables] for key in keys}
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values)}
