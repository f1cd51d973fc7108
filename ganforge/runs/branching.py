"""Going back: a new run that goes on from a checkpoint of another one, which stays as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ganforge.core.machine import now
from ganforge.errors import EnvironmentFault, UsageError
from ganforge.runs.checkpoint.files import checkpoints, step_of, verify
from ganforge.runs.histories import entries_before
from ganforge.runs.run_folder import RunFolder, new_run_folder, open_run_folder
from ganforge.sharing.records import recipe_at

INHERITED = ("lanes", "levers", "settled", "machine", "versions", "code", "reproduces")
"""Entries of the record that a run which goes on is held against, and goes on with."""
OF_DATA = ("samples", "data", "global_batch")
"""The same, unless something was changed since: the record has them as they are now."""


def checkpoint_of(run: Path, step: int) -> Path:
    """A run's checkpoint of a step, all of whose bytes are sound.

    Raises:
        UsageError: there is none of this step.
        EnvironmentFault: it is damaged.
    """
    found = {step_of(path): path for path in checkpoints(run / "checkpoints")}
    if step not in found:
        others = ", ".join(path.name for path in found.values()) or "none"
        raise UsageError(f"{run} has no whole checkpoint of step {step}; it has: {others}")
    try:
        verify(found[step])
    except EnvironmentFault as fault:
        others = ", ".join(path.name for path in found.values() if path != found[step]) or "no other"
        raise EnvironmentFault(fault.message, f"nothing can go on from it; the run has {others}") from fault
    return found[step]


def ancestral(run: Path, step: int) -> RunFolder:
    """A run's folder as it was when it came to a step: what a run that goes on from there is held against.

    Raises:
        UsageError: it is none.
    """
    record = open_run_folder(run).record
    history = entries_before(record.get("code_history"), step)
    held = {key: history[-1][key] for key in ("code", "versions") if history and key in history[-1]}
    changes = entries_before(record.get("changes"), step)
    keys = INHERITED if len(changes) < len(record.get("changes", [])) else (*INHERITED, *OF_DATA)
    past = {key: record[key] for key in keys if key in record} | held
    past |= {"changes": changes, "code_history": history}
    reached = (record.get("best") or {}).items()
    past["best"] = {name: entry for name, entry in reached if entry.get("step", 0) <= step}
    past["diagnoses"] = [entry for entry in record.get("diagnoses", []) if entry.get("step", 0) <= step]
    return RunFolder(run, {key: value for key, value in past.items() if value})


def branch(checkpoint: Path, past: RunFolder, out: Path, name: str) -> RunFolder:
    """A new run's folder with a copy of a checkpoint, and of those of the best figures until then.

    Raises:
        EnvironmentFault: it cannot be made.
    """
    place, step = new_run_folder(out, name), step_of(checkpoint)
    place.copied = True
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    figures = state["training"].get("best", past.record.get("best", {}))  # an earlier ganforge saved none
    best = {entry["step"] for entry in figures.values()}
    run = past.path.resolve()
    ancestor = {"run": f"{run.parent.name}/{run.name}", "step": step}
    try:
        shutil.copyfile(recipe_at(past.path, step), place.recipe)
        for each in checkpoints(past.path / "checkpoints"):
            if step_of(each) == step or (step_of(each) in best and step_of(each) < step):
                staged = place.checkpoints / f".{each.name}.part"
                shutil.copytree(each, staged)
                staged.rename(place.checkpoints / each.name)
        place.note(**past.record, recipe=name, ancestor=ancestor, started=now(), step=step, checkpoint=checkpoint.name)
    except OSError as error:
        place.discard()
        raise EnvironmentFault(
            f"{checkpoint} cannot be copied to {place.path}: {error}", "make room, or give another place with --out"
        ) from error
    return place
