"""Which pictures are translated, and where the results go."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganforge.errors import UsageError
from ganforge.images import SUFFIXES, list_images, natural_order

SHEETS = "compare"
"""The folder, below that of the results, for sheets of pictures beside their translations."""


@dataclass(frozen=True)
class Job:
    """A picture, and where its translation goes."""

    source: Path
    target: Path
    sheet: Path | None
    """Where the picture beside its translation goes, if anywhere."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All that it makes."""
        return (self.target,) if self.sheet is None else (self.target, self.sheet)


def find_jobs(inputs: Sequence[str], output: Path, suffix: str, sheets: bool) -> list[Job]:
    """The pictures of files, folders and patterns, in the order given; names and subfolders are kept.

    Below a folder, and below the part of a pattern that has no wildcards, the results have the same relative paths.

    Args:
        inputs: paths, and patterns such as `photos/**/*.jpg`.
        output: the folder of the results; what lies in it already is no input.
        suffix: of the results: `.png`.
        sheets: whether there are sheets as well.

    Raises:
        UsageError: something gives no picture, two results would be one file, or one would replace its picture.
    """
    jobs: dict[Path, Job] = {}
    makers: dict[Path, Path] = {}
    for given in inputs:
        for source, relative in _found(given, output):
            if source.resolve() in jobs:
                continue
            name = relative.with_suffix(suffix)
            sheet = output / SHEETS / relative.with_suffix(".png") if sheets else None
            job = jobs[source.resolve()] = Job(source, output / name, sheet)
            for file in job.files:
                if file in makers:
                    raise UsageError(
                        f"{makers[file]} and {source} would both become {file}; translate them into two folders"
                    )
                makers[file] = source
    for job in jobs.values():
        if replaced := next((file for file in job.files if file.resolve() in jobs), None):
            raise UsageError(f"{replaced} would be replaced by its own translation; give another folder with -o")
    return list(jobs.values())


def _found(given: str, output: Path) -> Iterator[tuple[Path, Path]]:
    """Each picture, and its path in the folder of the results."""
    path = Path(given)
    if path.is_file():
        yield path, Path(path.name)
        return
    if path.is_dir():
        found, root = list_images(path), path
    elif glob.has_magic(given):
        found, root = list(_matches(given)), _without_wildcards(path)
    else:
        raise UsageError(f"there is no picture or folder {given}")
    inside = output.resolve() if output.resolve() != root.resolve() else None
    found = [each for each in found if inside not in each.resolve().parents]
    if not found:
        raise UsageError(f"there are no pictures in {given}\n  known are {', '.join(sorted(SUFFIXES))}")
    yield from ((each, each.relative_to(root)) for each in found)


def _matches(pattern: str) -> Iterator[Path]:
    for match in sorted(map(Path, glob.glob(pattern, recursive=True)), key=natural_order):
        if match.is_dir():
            yield from list_images(match)
        elif match.suffix.lower() in SUFFIXES:
            yield match


def _without_wildcards(pattern: Path) -> Path:
    return next(folder for folder in pattern.parents if not glob.has_magic(str(folder)))
