"""Which pictures are translated, and where the results go."""

from __future__ import annotations

import glob
from collections.abc import Callable, Collection, Iterator, Sequence
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
    relative: Path = Path()
    """Its path below the folder, or the pattern, that it was found by."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the job makes."""
        return (self.target,) if self.sheet is None else (self.target, self.sheet)


def find_jobs(
    inputs: Sequence[str],
    output: Path,
    suffix: str,
    sheets: bool,
    results: Collection[Path] = (),
    skip: Callable[[str], None] | None = None,
) -> list[Job]:
    """The pictures of files, folders and patterns, in the order given; names and subfolders are kept.

    Below a folder, and below the part of a pattern that has no wildcards, the results have the same relative paths.

    Args:
        inputs: paths, and patterns such as `photos/**/*.jpg`.
        output: the folder of the results; what lies in it already is no input, unless it is a folder of inputs itself.
        suffix: of the results: `.png`.
        sheets: whether there are sheets as well.
        results: files that are results of earlier commands, wherever they lie: no inputs, resolved.
        skip: told of a picture of a folder that cannot have a result of its own, while the others go on; by default
            it is raised.

    Raises:
        UsageError: something gives no picture, two results would be one file, or one would replace its picture.
    """
    jobs: list[Job] = []
    makers: dict[Path, tuple[Path, str]] = {}
    sources: set[Path] = set()
    for given in inputs:
        for source, relative in _found(given, output, results):
            if source.resolve() in sources:
                continue
            sources.add(source.resolve())
            name = relative.with_suffix(suffix)
            sheet = output / SHEETS / relative.with_suffix(".png") if sheets else None
            job = Job(source, output / name, sheet, relative)
            if other := next((makers[file] for file in job.files if file in makers), None):
                told = f"{other[0]} and {source} would both become {job.target}"
                if skip is None or other[1] != given:
                    raise UsageError(f"{told}; translate them into two folders")
                skip(f"{told}: rename one of them")
                continue
            jobs.append(job)
            makers |= dict.fromkeys(job.files, (source, given))
    return list(_harmless(jobs, sources, skip))


def _harmless(jobs: list[Job], sources: set[Path], skip: Callable[[str], None] | None) -> Iterator[Job]:
    """The jobs whose results replace no picture that is translated."""
    for job in jobs:
        if replaced := next((file for file in job.files if file.resolve() in sources), None):
            its = "its own translation" if replaced.resolve() == job.source.resolve() else f"that of {job.source}"
            told = f"{replaced} would be replaced by {its}; give another folder with -o"
            if skip is None or all(other.target.resolve() in sources for other in jobs):
                raise UsageError(told)
            skip(told)
        else:
            yield job


def _found(given: str, output: Path, results: Collection[Path]) -> Iterator[tuple[Path, Path]]:
    """Each picture, and its path in the folder of the results."""
    path = Path(given)
    if path.is_file():
        if path.resolve() not in results:  # a pattern that the shell has replaced
            yield path, Path(path.name)
        return
    if path.is_dir():
        found, root = list_images(path), path
    elif glob.has_magic(given):
        found = list(_matches(given))
        root = next(folder for folder in path.parents if not glob.has_magic(str(folder)))
    elif path.exists() or path.is_symlink():
        raise UsageError(f"{given} is no picture and no folder: a link that leads nowhere, or a pipe")
    else:
        raise UsageError(f"there is no picture or folder {given}")
    same = output.resolve() == root.resolve()
    inside = None if same else output.resolve()
    found = [each for each in found if inside not in each.resolve().parents and each.resolve() not in results]
    if not found:
        raise UsageError(f"there are no pictures in {given}", f"known are {', '.join(sorted(SUFFIXES))}")
    yield from ((each, each.relative_to(root)) for each in found)


def _matches(pattern: str) -> Iterator[Path]:
    for match in sorted(map(Path, glob.glob(pattern, recursive=True)), key=natural_order):
        if match.is_dir():
            yield from list_images(match)
        elif match.suffix.lower() in SUFFIXES:
            yield match
