"""What held from which step of a run on: its recipes, and the code that computed it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from ganforge.runs.resume_checks import Change
from ganforge.runs.run_folder import RunFolder
from ganforge.sharing.bundle.code import ENGINE

COMPUTING = ("torch", "torchvision")
"""Distributions whose versions decide over last bits."""


def keep_recipe(folder: RunFolder, step: int) -> None:
    """Keep the recipe that held until a step, before another one replaces it."""
    kept = folder.path / f"recipe_until_{step:07d}.yaml"
    if not kept.exists():  # what replaced it at the same step has taken none
        shutil.copyfile(folder.recipe, kept)


def entries_before(entries: Any, step: int) -> list[dict[str, Any]]:
    """Those entries of a record, each with its step, that held when the run came to a step."""
    known = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [entry for entry in known if entry.get("step", 0) < max(step, 1)]


def history(record: Mapping[str, Any], step: int) -> list[dict[str, Any]]:
    """The record's `code_history`, with what computes from a step on, if that is something else."""
    held = {key: record.get(key, {}) for key in ("code", "versions")}
    before = [entry | {"step": min(entry["step"], step)} for entry in record.get("code_history", [])]
    if before and {key: before[-1].get(key) for key in held} == held:
        return before
    return [*before, {"step": step, **held}]


def optimizer_options(changed: Iterable[Change]) -> dict[str, set[str]]:
    """The options of players' optimizers that have changed, by player; a schedule's change is one of the rate."""
    found: dict[str, set[str]] = {}
    for change in changed:
        match change.key.split("."):
            case ["players", name, "optimizer", option, *_]:
                found.setdefault(name, set()).add(option)
            case ["players", name, "schedule", *_]:
                found.setdefault(name, set()).add("lr")
    return found


def code_changes(record: Mapping[str, Any], code: Mapping[str, Mapping[str, str]]) -> list[Change]:
    """The plugins whose parts the recipe names, and whose code is not what the run last went on with: its record
    has the earlier one, `code_of` gives that which is here.

    ganforge's own code is not among them: whether it can go on with an earlier one's checkpoint, it knows itself.
    """
    before = record.get("code", {})
    both = [name for name in code if name in before and name != ENGINE]
    differing = [name for name in both if before[name].get("sha256") != code[name]["sha256"]]
    return [Change(f"code.{name}", _named(before[name]), _named(code[name])) for name in differing]


def told_changes(
    record: Mapping[str, Any], code: Mapping[str, Mapping[str, str]], versions: Mapping[str, str], python: str
) -> list[Change]:
    """What else computes than before, and need not be accepted: results may differ in their last bits."""
    pairs = {f"versions.{name}": (record.get("versions", {}).get(name), versions.get(name)) for name in COMPUTING}
    pairs["machine.python"] = record.get("machine", {}).get("python"), python
    found = [Change(key, *pair) for key, pair in pairs.items() if pair[0] is not None and pair[0] != pair[1]]
    earlier, engine = record.get("code", {}).get(ENGINE, {}), code.get(ENGINE, {})
    differs = bool(earlier) and earlier.get("sha256") != engine.get("sha256")
    return [Change(f"code.{ENGINE}", _named(earlier), _named(engine)), *found] if differs else found


def _named(code: Mapping[str, str]) -> str:
    """`my_losses.py (3f2a91c0)`, or a distribution with its version."""
    origin = code.get("file") or f"{code.get('distribution', '')} {code.get('version', '')}".strip()
    return f"{origin} ({code.get('sha256', '')[:8]})"
