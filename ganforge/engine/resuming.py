"""Whether a run can go on under a recipe: only what leaves its mathematics alone may have changed."""

from __future__ import annotations

from typing import Any

from ganforge.engine.division import Division
from ganforge.engine.folder import RunFolder
from ganforge.errors import UsageError
from ganforge.recipe.flat import flat
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
    "run.strict",
    "run.device",
    "run.merge",
    "run.compile",
    "run.cuda_graphs",
    "run.channels_last",
    "run.fused",
    "run.recompute",
    "run.overlap",
    "run.timeout_s",
    "run.lanes",  # the engine compares it itself
    "run.shard",
    "data.workers",
    "data.on_bad_file",
    "data.cache",
    "data.cache_dir",
    "data.cache_gib",
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
    changed = changes(read(folder.recipe).plain(), recipe.node.plain())
    if changed:
        lines = [f"  {key}: {before} -> {now}" for key, (before, now) in changed.items()]
        raise UsageError(
            f"{folder.path} was started with another recipe:\n" + "\n".join(lines) + "\n"
            f"  go on with its own recipe: ganforge run {folder.path} --resume\n"
            "  or start a new run: leave out --resume"
        )


def check_samples(folder: RunFolder, samples: int, division: Division) -> None:
    """Compare the data, and the samples of a step, with what the run was started with.

    Raises:
        UsageError: they differ.
    """
    if (before := folder.record.get("samples", samples)) != samples:
        raise UsageError(
            f"{folder.path} was started with {before} training samples, now there are {samples}: every later batch "
            "would differ\n  bring the data back, or start a new run: leave out --resume\n"
            "  a broken file is not taken out: put a good one in its place, or bring it back and go on without\n"
            "  it: data.on_bad_file=skip"
        )
    if (before := folder.record.get("global_batch", division.global_batch)) != division.global_batch:
        raise UsageError(
            f"{folder.path} was started with {before} samples a step, now there are {division}: every later step would "
            f"differ\n  set run.global_batch={before}, or start a new run: leave out --resume"
        )


def changes(before: Any, now: Any) -> dict[str, tuple[Any, Any]]:
    """Where two recipes, as plain data, differ in what decides over the training: `(before, now)` by dotted names."""
    old, new = flat(before), flat(now)
    differing = (key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key) and not _free(key))
    return {key: (old.get(key, "absent"), new.get(key, "absent")) for key in differing}


def _free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in FREE)
