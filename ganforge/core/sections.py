"""Saved states section by section: each owner names its own, and what is missing or unknown is told by its place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ganforge.errors import EnvironmentFault


class Unfit(EnvironmentFault):
    """A section of a checkpoint is missing, or there is one that nobody knows."""


def expect(state: Mapping[str, Any], place: str, needed: Collection[str], known: Collection[str] = ()) -> None:
    """Refuse a state that is not its owner's.

    Args:
        state: what was saved.
        place: where in the checkpoint: `trainer.players.generators`.
        needed: the names of all its sections.
        known: those that it may have: earlier releases wrote no such.

    Raises:
        Unfit: it is another's.
    """
    found = [f"has no {place}.{name}" for name in needed if name not in state]
    found += [f"has {place}.{name}, which nobody takes" for name in state if name not in needed and name not in known]
    if found:
        raise Unfit(
            f"the checkpoint {'; it '.join(found)}",
            "another release of ganforge or of a plugin wrote it, or another recipe: run.json says which;\n"
            "install what it names, or go back to an earlier checkpoint: ganforge run CHECKPOINT --resume",
        )
