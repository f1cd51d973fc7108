"""What runs say of themselves in their `run.json`: read without torch, and whatever else may be written in it."""

from __future__ import annotations

import datetime
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ganforge.errors import UsageError
from ganforge.sharing.process import is_gone

DEPTH = 4
"""Levels below a given folder at which runs are looked for."""
STEP = re.compile(r"step_(\d{7,})")
UNTIL = re.compile(r"recipe_until_(\d{7,})\.yaml")
"""Earlier recipes of a run, by the step that they held until."""


@dataclass(frozen=True)
class Record:
    """What the `run.json` of one run says."""

    path: Path
    """The run's folder."""
    entries: Mapping[str, Any]
    """What its `run.json` holds; of no entry is it known that it is there, or what it is."""

    @classmethod
    def read(cls, path: Path) -> Record:
        """The record of a run's folder.

        Raises:
            UsageError: it is none.
        """
        try:
            entries = json.loads((path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"its run.json is damaged: {error}"
            raise UsageError(f"{path} is no run's folder: {reason}") from error
        if not isinstance(entries, dict):
            raise UsageError(f"{path} is no run's folder: its run.json holds no record")
        return cls(path, entries)

    @cached_property
    def recipe(self) -> str:
        """The recipe's name."""
        return str(self.entries.get("recipe") or self.path.resolve().parent.name)

    @property
    def name(self) -> str:
        """`recipe/number`, as the folders have it."""
        path = self.path.resolve()
        return f"{path.parent.name}/{path.name}"

    @cached_property
    def status(self) -> str:
        """`running`, `finished`, `interrupted`, `failed`, or `killed`: said to run, but its process is gone."""
        said = str(self.entries.get("status", "unknown"))
        return "killed" if said == "running" and is_gone(self._mapping("process")) else said

    @property
    def step(self) -> int:
        """Steps done when the record was last written."""
        return int(self._number("step") or 0)

    @property
    def total_steps(self) -> int:
        """Steps that the run has when it ends; 0 where that is not known."""
        return int(self._number("total_steps") or 0)

    @property
    def images_per_second(self) -> float | None:
        """Training samples a second."""
        return self._number("images_per_second")

    @property
    def started(self) -> datetime.datetime | None:
        """When the run was started."""
        return self._time("started")

    @property
    def ended(self) -> datetime.datetime | None:
        """When the run ended well."""
        return self._time("ended")

    @property
    def figures(self) -> dict[str, float]:
        """The last metrics, by name."""
        found = {str(name): _number(value) for name, value in self._mapping("metrics").items()}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def best(self) -> dict[str, tuple[int, float]]:
        """The best value of each figure so far and the step that had it, where the run kept them."""
        found = {}
        for name, entry in self._mapping("best").items():
            step, value = (_number(entry.get(key)) for key in ("step", "value")) if isinstance(entry, dict) else (0, 0)
            if isinstance(entry, dict) and step is not None and value is not None:
                found[str(name)] = int(step), value
        return found

    @property
    def better(self) -> dict[str, str]:
        """Of figures that have one, which way is better: `lower` or `higher`."""
        return {str(name): str(way) for name, way in self._mapping("better").items()}

    @property
    def versions(self) -> dict[str, str]:
        """The versions of what computed, by distribution."""
        return {str(name): str(value) for name, value in self._mapping("versions").items()}

    @property
    def machine(self) -> dict[str, str]:
        """The machine that the run computed on."""
        return {str(name): str(value) for name, value in self._mapping("machine").items()}

    @property
    def changes(self) -> list[dict[str, Any]]:
        """What was changed while it trained: `step`, `key`, `before` and `after` of each."""
        found = self.entries.get("changes")
        known = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
        return [entry for entry in known if {"step", "key", "before", "after"} <= entry.keys()]

    @property
    def ancestor(self) -> tuple[str, int] | None:
        """The run that it went on from, as `recipe/number`, and the step of the checkpoint."""
        found = self._mapping("ancestor")
        step = _number(found.get("step"))
        return (str(found["run"]), int(step)) if "run" in found and step is not None else None

    @property
    def diagnoses(self) -> list[dict[str, Any]]:
        """What was found wrong with the run."""
        found = self.entries.get("diagnoses")
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    def _mapping(self, key: str) -> Mapping[str, Any]:
        found = self.entries.get(key)
        return found if isinstance(found, dict) else {}

    def _number(self, key: str) -> float | None:
        found = _number(self.entries.get(key))
        return found if found is not None and math.isfinite(found) else None

    def _time(self, key: str) -> datetime.datetime | None:
        try:
            found = datetime.datetime.fromisoformat(self.entries[key])
        except (KeyError, TypeError, ValueError):
            return None
        return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_checkpoint(path: Path) -> tuple[Path, int] | None:
    """The run's folder and the step, if this is, or would be, a checkpoint of a run."""
    match = STEP.fullmatch(path.name)
    run = path.resolve().parent.parent
    known = match and path.resolve().parent.name == "checkpoints" and (run / "run.json").is_file()
    if not match or not known:
        return None
    written = path.parent.parent  # as it was given, where that names the folder
    return (written if written.name and (written / "run.json").is_file() else run), int(match[1])


def recipe_at(run: Path, step: int) -> Path:
    """The recipe under which a run came to a step."""
    found = ((int(match[1]), path) for path in run.iterdir() if (match := UNTIL.fullmatch(path.name)))
    later = sorted((until, path) for until, path in found if until >= step)
    return later[0][1] if later else run / "recipe.yaml"


def find_records(folders: Iterable[Path]) -> tuple[list[Record], list[str]]:
    """The runs in these folders, the newest first, and what could not be read, in words.

    Raises:
        UsageError: a folder is not there.
    """
    records: dict[Path, Record] = {}
    unread = []
    for folder in folders:
        if not folder.is_dir():
            cure = "give a run's folder, or one of runs, such as runs/my_recipe"
            raise UsageError(f"there is no folder {folder}; {cure}")
        for path in _runs_below(folder):
            try:
                records.setdefault(path.resolve(), Record.read(path))
            except UsageError as error:
                unread.append(str(error))
    beginning = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    newest = sorted(records.values(), key=lambda record: (record.started or beginning, record.name), reverse=True)
    return newest, unread


def _runs_below(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    if (folder / "run.json").is_file():
        yield folder
    elif depth:
        with os.scandir(folder) as entries:
            below = sorted(e.path for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
        for path in below:
            yield from _runs_below(Path(path), depth - 1)
