"""Which files a dataset reads: their names, sizes and hashes, never the files themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.core.files import sha256_of
from ganforge.errors import EnvironmentFault

if TYPE_CHECKING:
    from ganforge.recipe.model import Recipe

THREADS = 4
NAMED = 3
"""How many files a difference names."""

Row = list[Any]
"""`[name, bytes, SHA-256]` of a file; the name is relative to the option's folder."""


def data_manifest(
    recipe: Recipe, tell: Callable[[int, int], None] = lambda done, total: None, hashed: bool = True
) -> dict[str, Any]:
    """The files that the dataset names, by the option below whose path they lie; all below it if it names none.

    Of a dataset that neither names files nor takes paths there is nothing to list: it is made in memory, or finds its
    files by itself.

    Args:
        recipe: whose dataset.
        tell: told how many files are hashed, of how many.
        hashed: without it, only the paths are listed, and no files.
    """
    part = recipe.data.part
    named = _named(recipe)
    manifest: dict[str, Any] = {"dataset": part.full_name, "plugin": part.plugin, "paths": {}}
    for name, path in _paths(recipe, named).items():
        expanded = path.expanduser()
        files = _files(expanded, named) if hashed and expanded.exists() else None
        rows = None if files is None else _rows(expanded, files, tell)
        manifest["paths"][name] = {"path": path.as_posix(), "files": rows}
    return manifest


def data_differences(manifest: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """What is not as the manifest has it, in words; nothing where all is the same, or nothing was listed."""
    now = data_manifest(recipe)["paths"]
    found = []
    for option, entry in manifest["paths"].items():
        before, here = entry["files"], now.get(option, {}).get("files")
        if before is None:
            continue
        place = now.get(option, {}).get("path", entry["path"])
        if here is None:
            found.append(f"data.{option}: {place} is not here; give another with data.{option}=FOLDER")
            continue
        old, new = ({name: tuple(rest) for name, *rest in rows} for rows in (before, here))
        changes = {
            "missing": [name for name in old if name not in new],
            "new": [name for name in new if name not in old],
            "different": [name for name in old if name in new and old[name] != new[name]],
        }
        told = [f"{len(names)} {kind} ({_some(names)})" for kind, names in changes.items() if names]
        if told:
            found.append(f"data.{option}: of {len(old)} files below {place}, {', '.join(told)}")
    return found


def told(manifest: Mapping[str, Any]) -> str:
    """What a manifest lists, in words."""
    if not manifest["paths"]:
        whose = "made in memory" if manifest["plugin"] == "ganforge" else "which names no path among its options"
        return f"no files: the dataset is {manifest['dataset']}, {whose}"
    lists = []
    for option, entry in manifest["paths"].items():
        files = entry["files"]
        lists.append(f"data.{option} is not here" if files is None else f"{len(files)} files of data.{option}")
    return ", ".join(lists)


def _named(recipe: Recipe) -> set[Path]:
    """The files that the dataset names; none where it cannot, or some are not here."""
    try:
        return set(recipe.dataset.files())
    except EnvironmentFault:
        return set()


def _paths(recipe: Recipe, named: Set[Path]) -> dict[str, Path]:
    """The dataset's options that are paths, and those that turn out to be, because files lie below them."""
    found = {}
    for name, value in recipe.data.options.items():
        is_folder = isinstance(value, str) and any(file.is_relative_to(Path(value).expanduser()) for file in named)
        if is_folder or isinstance(value, Path):
            found[name] = Path(value)
    return found


def _files(path: Path, named: Set[Path]) -> list[Path]:
    """The file, or those of the named files that lie below the folder, or else all but hidden ones; in the order of
    their names."""
    if path.is_file():
        return [path]
    found = [file for file in named if file.is_relative_to(path)]
    if not named:
        for parent, folders, names in os.walk(path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _rows(root: Path, files: Sequence[Path], tell: Callable[[int, int], None]) -> list[Row]:
    base = root.parent if root.is_file() else root

    def rows() -> Iterator[Row]:
        with ThreadPoolExecutor(THREADS) as pool:
            for done, (file, digest) in enumerate(zip(files, pool.map(sha256_of, files), strict=True), 1):
                tell(done, len(files))
                yield [file.relative_to(base).as_posix(), file.stat().st_size, digest]

    return list(rows())


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:NAMED], *(["..."] if len(names) > NAMED else [])])
