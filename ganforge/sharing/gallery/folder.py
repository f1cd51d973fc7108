"""The gallery's folder: whole or not there, and nobody else's files lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from ganforge.errors import EnvironmentFault, UsageError
from ganforge.sharing.gallery.page import GENERATOR
from ganforge.sharing.records import STEP

ASSETS = ("style.css", "script.js")
OURS = {"index.html", *ASSETS, "pictures", "panels"}


def is_ours(folder: Path) -> bool:
    """Whether a folder is a gallery and holds nothing else, or nothing at all."""
    if not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir()}
    if not names:
        return True
    index = folder / "index.html"
    return names <= OURS and index.is_file() and GENERATOR in index.read_text(encoding="utf-8", errors="replace")[:1000]


@contextmanager
def finished(folder: Path) -> Iterator[Path]:
    """A folder to write a gallery into; at the end it takes the place of `folder`, unless something was raised.

    Raises:
        UsageError: `folder` is there, and is no gallery.
        EnvironmentFault: it cannot be written.
    """
    if (folder.exists() or folder.is_symlink()) and not is_ours(folder):
        raise UsageError(f"{folder} is there already, and holds more than a gallery; give another folder with -o")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    old = part.with_suffix(".old")
    try:
        part.mkdir(parents=True)
        for name in ASSETS:
            (part / name).write_bytes(files("ganforge.sharing.gallery").joinpath(name).read_bytes())
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    except OSError as error:
        raise EnvironmentFault(f"cannot write the gallery {folder}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def frames(run: Path, most: int) -> dict[str, list[tuple[int, Path]]]:
    """The panels of a run by name, each with its steps and files; of many, evenly spread ones, the last among them."""
    found = {}
    for panel in sorted((run / "images").glob("*/")):
        steps = [(int(p.stem.removeprefix("step_")), p) for p in panel.glob("step_*.png") if STEP.fullmatch(p.stem)]
        if steps:
            steps.sort()
            count = min(most, len(steps))
            places = {round(i * (len(steps) - 1) / max(1, count - 1)) for i in range(count)} | {len(steps) - 1}
            found[panel.name] = [steps[place] for place in sorted(places)]
    return found
