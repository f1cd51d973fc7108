"""Whether a run can go on under a recipe: only what leaves its mathematics alone may have changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ganforge.engine.folder import RunFolder
from ganforge.errors import UsageError
from ganforge.recipe.model import Recipe
from ganforge.recipe.nodes import read

FREE = (
    "run.epochs",
    "run.steps",
    "run.images",
    "run.images_count",
    "run.images_every",
    "run.log_every",
    "run.metrics_every",
    "run.checkpoint_every",
    "run.keep_last",
    "run.keep_every",
    "run.on_bad_loss",
    "run.device",
    "run.merge",
    "run.compile",
    "run.cuda_graphs",
    "run.channels_last",
    "run.fused",
    "run.recompute",
    "data.workers",
    "data.cache",
    "data.root",
    "data.download",
    "metrics",
    "callbacks",
    "requires",
)


def check_unchanged(recipe: Recipe, folder: RunFolder) -> None:
    """Compare a recipe with the one that the run was started with.

    Raises:
        UsageError: they differ in what a resumed run cannot change; with the differences and two ways out.
    """
    before, now = _flat(read(folder.recipe).plain()), _flat(recipe.node.plain())
    changed = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key) and not _free(key)]
    if changed:
        lines = [f"  {key}: {before.get(key, 'absent')} -> {now.get(key, 'absent')}" for key in changed]
        raise UsageError(
            f"{folder.path} was started with another recipe:\n" + "\n".join(lines) + "\n"
            f"  go on with its own recipe: ganforge run {folder.path} --resume\n"
            "  or start a new run: leave out --resume"
        )


def _free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves by their dotted names."""
    if isinstance(value, dict) and value:
        return _flat_items(value.items(), prefix)
    if isinstance(value, list) and prefix != "run.images":
        return _flat_items(enumerate(value), prefix)
    return {prefix: value}


def _flat_items(items: Iterable[tuple[Any, Any]], prefix: str) -> dict[str, Any]:
    below = (_flat(item, f"{prefix}.{name}" if prefix else name) for name, item in items)
    return {key: leaf for leaves in below for key, leaf in leaves.items()}
