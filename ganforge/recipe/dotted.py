"""A recipe as a flat table: what every leaf is, by the dotted name that overrides have on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

WHOLE = ("run.images",)
"""Lists that are one value: their items have no meaning alone."""


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of plain data by their dotted names: `{"phases.0.losses.cycle_a.weight": 10}`."""
    if isinstance(value, dict) and value:
        return _items(value.items(), prefix)
    if isinstance(value, list) and prefix not in WHOLE:
        return _items(enumerate(value), prefix)
    return {prefix: value}


def _items(items: Iterable[tuple[Any, Any]], prefix: str) -> dict[str, Any]:
    below = (flat(item, f"{prefix}.{name}" if prefix else str(name)) for name, item in items)
    return {key: leaf for leaves in below for key, leaf in leaves.items()}
