"""Going on with a run: its newest checkpoint is put back, and what has changed since is found and written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ganforge.api.callbacks import Diagnosis
from ganforge.core.sections import Unfit
from ganforge.errors import EnvironmentFault
from ganforge.ranks import World
from ganforge.ranks.division import Division, length
from ganforge.recipe.model import Recipe
from ganforge.runs.checkpoint.files import checkpoints, clean, load_checkpoint
from ganforge.runs.checkpoint.saving import put_back
from ganforge.runs.fingerprint import in_words
from ganforge.runs.histories import keep_recipe, optimizer_options
from ganforge.runs.observers import FAILED
from ganforge.runs.resume_checks import Change, begun_recipe, check_samples, recipe_changes
from ganforge.runs.run_folder import RunFolder
from ganforge.training.trainer import Trainer


def newest_checkpoint(folder: RunFolder, world: World) -> Path | None:
    """The newest whole checkpoint, as the first rank finds it; what was left of a save that broke off is removed."""
    if world.leads:
        clean(folder.checkpoints)
    found = world.from_first([str(path) for path in checkpoints(folder.checkpoints)])
    return Path(found[-1]) if found else None


def changes_since(
    folder: RunFolder, recipe: Recipe, world: World, samples: int, division: Division, data: dict[str, Any]
) -> list[Change]:
    """What is not as it was when the run last went on: samples, the recipe, the data's files, and the code."""
    changed = check_samples(folder, samples, division)
    found = recipe_changes(begun_recipe(folder), recipe.node) if world.leads else []
    changed += [Change(*entry) for entry in world.from_first([dataclasses.astuple(change) for change in found])]
    before = folder.record.get("data")
    if data and before and data != before:
        changed.append(Change("data.files", in_words(before), in_words(data)))
    return [*changed, *(Change(**entry) for entry in folder.changes)]


def put_back_from(newest: Path, trainer: Trainer, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let training be where a checkpoint has it; the best figures until then, by name.

    Raises:
        EnvironmentFault: it is damaged, or of other networks.
    """
    world = trainer.world
    checkpoint = world.first_alone(lambda: load_checkpoint(newest))
    known = checkpoint.training.get("best", record.get("best", {})) if checkpoint else {}
    try:
        put_back(checkpoint, trainer)
    except Unfit as fault:
        raise EnvironmentFault(f"{newest} cannot be taken up: {fault.message}", fault.cure) from fault
    except RuntimeError as error:
        raise EnvironmentFault(
            f"the networks of {newest} are not those of the recipe: {str(error).splitlines()[-1].strip()}",
            f"the run was made with {record.get('versions')}; install those versions to go on",
        ) from error
    return world.from_first(known)


def take_changes(changed: Sequence[Change], trainer: Trainer) -> tuple[Change, ...]:
    """Put what has changed into effect from here on."""
    for name, options in optimizer_options(changed).items():
        if name in trainer.players:
            trainer.players[name].take_options(options)
    progress = trainer.progress
    total = length(trainer.recipe, progress.steps_per_epoch, progress.ahead)
    trainer.progress = dataclasses.replace(progress, total_steps=total)
    return tuple(changed)


def told_before(record: Mapping[str, Any]) -> dict[str, Diagnosis]:
    """What was found wrong before, by name; but what watches the run and failed is told again if it fails again."""
    return {
        entry["name"]: Diagnosis(*(entry[key] for key in ("name", "message", "cure", "link")))
        for entry in record.get("diagnoses", [])
        if not entry["name"].endswith(FAILED)
    }


def as_many_threads_as(record: Mapping[str, Any], world: World) -> None:
    """Let torch take the threads that the run took: sums over another number would differ in their last bits."""
    before = record.get("machine", {})
    if before.get("ranks", 1) == world.size:  # others share the cores in another way
        torch.set_num_threads(before.get("threads", torch.get_num_threads()))


def note_changes(folder: RunFolder, changes: Sequence[Change], step: int, ahead: int) -> None:
    """Keep the recipe that held until now, and say from which step on something holds."""
    if changes and folder.writes:
        keep_recipe(folder, step)
    noted = [dataclasses.asdict(change) for change in changes]
    before = [entry | {"step": min(entry["step"], step)} for entry in folder.record.get("changes", [])]
    if noted or before:
        folder.note(changes=[*before, *({"step": step, **entry} for entry in noted)])
    if ahead or "ahead" in folder.record:
        folder.note(ahead=ahead)
