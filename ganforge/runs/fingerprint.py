"""Which files a run is trained on: known again by their names and sizes, wherever they lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganforge.api.datasets import Dataset
from ganforge.errors import GanforgeError
from ganforge.ranks import World

ASKED = 5_000
"""Files whose sizes are looked at, evenly spread: of millions on a network that would take minutes."""


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """How many files a dataset reads, and a hash of their names and sizes; nothing where it reads none."""
    try:
        files = sorted(dataset.files())
        return {"files": len(files), "sha256": _hash(files)} if files else {}
    except (GanforgeError, OSError):  # what is missing is told by who reads it
        return {}


def _hash(files: Sequence[Path]) -> str:
    """A hash of files by their sizes and their names below the folder that all are in."""
    together = os.path.commonpath([path.absolute().parent for path in files])
    digest, stride = hashlib.sha256(), -(-len(files) // ASKED)
    for number, path in enumerate(files):
        size = path.stat().st_size if number % stride == 0 else ""
        digest.update(f"{path.absolute().relative_to(together).as_posix()} {size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def in_words(known: dict[str, Any]) -> str:
    """`1,067 files (3f2a91c0)`."""
    return f"{known['files']:,} files ({known['sha256'][:8]})"


def fingerprint_of(dataset: Dataset, world: World) -> dict[str, Any]:
    """The fingerprint of the data as the first rank finds them: the others have the same."""
    return world.from_first(world.first_alone(lambda: fingerprint(dataset)))
