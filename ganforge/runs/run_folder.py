"""A run's folder: `runs/<recipe>/<number>/`, and the record in its `run.json`."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganforge.core.files import write_text
from ganforge.errors import EnvironmentFault, UsageError


@dataclass
class RunFolder:
    """Where everything of one run lies."""

    path: Path
    record: dict[str, Any] = field(default_factory=dict)
    writes: bool = True
    """Whether this process writes into the folder: of several ranks, the first."""
    accepts: bool = False
    """Whether the run goes on though something has changed that decides over its training."""
    changes: list[dict[str, Any]] = field(default_factory=list)
    """What has changed beside the recipe: `key`, `before` and `after` of each."""
    copied: bool = False
    """Whether all in the folder was copied from its ancestor, and nothing was added yet."""

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def images(self) -> Path:
        return self.path / "images"

    def discard(self) -> None:
        """Remove the folder, and those above it, as far as they are empty: nothing was started."""
        if not self.writes:
            return
        if self.copied:
            shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            for empty in (self.path, self.path.parent, self.path.parent.parent):
                empty.rmdir()

    def write_recipe(self, text: str) -> None:
        """Replace `recipe.yaml`."""
        if self.writes:
            write_text(self.recipe, text)

    def note(self, **entries: Any) -> None:
        """Update `run.json`."""
        self.record |= entries
        if self.writes:
            write_text(self.path / "run.json", json.dumps(self.record, indent=2) + "\n")


def new_run_folder(out: Path, name: str) -> RunFolder:
    """The next free number under `out/name`.

    Raises:
        EnvironmentFault: the folder cannot be made.
    """
    parent = out / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        number = max((int(p.name) for p in parent.iterdir() if p.name.isdigit()), default=0) + 1
        while True:
            path = parent / f"{number:04d}"
            try:
                path.mkdir()
                return RunFolder(path)
            except FileExistsError:  # another run was quicker
                number += 1
    except OSError as error:
        message = f"no run folder can be made under {parent}: {error}; give another place with --out"
        raise EnvironmentFault(message) from error


def open_run_folder(path: Path) -> RunFolder:
    """An existing run's folder.

    Raises:
        UsageError: it is none.
    """
    try:
        return RunFolder(path, json.loads((path / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no run's folder: {error}") from error


def latest_run_folder(out: Path, name: str) -> RunFolder | None:
    """The newest run of a recipe, if there is one."""
    parent = out / name
    numbered = [path.parent for path in parent.glob("*/run.json") if path.parent.name.isdigit()]
    return open_run_folder(max(numbered, key=lambda p: int(p.name))) if numbered else None
