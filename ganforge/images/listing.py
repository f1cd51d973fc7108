"""The picture files below a folder: which count, and what is left out."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ganforge.errors import EnvironmentFault

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"))
ARRAYS = frozenset((".npy", ".npz", ".dcm"))
"""Suffixes of files that are pictures where no others are."""
# What file browsers and archivers leave behind; others of their kind begin with a dot.
_LEFT_BEHIND = frozenset(("__macosx", "thumbs.db", "desktop.ini"))
_SHOWN = 3


@dataclass(frozen=True)
class Listing:
    """What lies below a folder."""

    pictures: tuple[Path, ...] = ()
    """Files that are pictures by their suffix, `2.jpg` before `10.jpg`; where there are none, arrays and DICOM."""
    others: tuple[Path, ...] = ()
    """Files of other types."""
    hidden: tuple[Path, ...] = ()
    """Files and folders with a dot in front, and what file browsers and archivers leave behind."""
    empty: tuple[Path, ...] = ()
    """Folders in which nothing lies."""
    again: tuple[Path, ...] = ()
    """Folders that are read already, or that hold this one, which links lead to."""

    def __add__(self, other: Listing) -> Listing:
        fields = ("pictures", "others", "hidden", "empty", "again")
        return Listing(*(getattr(self, field) + getattr(other, field) for field in fields))

    def left_out(self) -> list[str]:
        """What is no picture, counted: `2 hidden files or folders`, `1 file of another type (.txt)`."""
        told = []
        if self.hidden:
            told.append(_counted(len(self.hidden), "hidden file or folder", "hidden files or folders"))
        if self.others:
            types = Counter(path.suffix.lower() or path.name for path in self.others)
            shown = [*(name for name, _ in types.most_common(_SHOWN)), *["..."] * (len(types) > _SHOWN)]
            kinds = f"({', '.join(shown)})"
            told.append(f"{_counted(len(self.others), 'file of another type', 'files of other types')} {kinds}")
        if self.empty:
            told.append(_counted(len(self.empty), "empty folder", "empty folders"))
        if self.again:
            told.append(_counted(len(self.again), "link to a folder read already", "links to folders read already"))
        return told


def scan(folder: Path, deep: bool = True) -> Listing:
    """All that lies below a folder; links are followed, and each folder is read once. Nothing where it is none.

    Without `deep`, what lies in the folder itself.

    Raises:
        EnvironmentFault: a folder cannot be read.
    """
    pictures: list[Path] = []
    others, hidden, empty, again = list[Path](), list[Path](), list[Path](), list[Path]()
    if not folder.is_dir():
        return Listing()
    above = {*folder.absolute().parents, *folder.resolve().parents, folder}
    seen = {_identity(path) for path in above}
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        here = Path(parent)
        below = []
        for name in sorted(folders) if deep else filter(_is_hidden, folders):
            if _is_hidden(name):
                hidden.append(here / name)
            elif (identity := _identity(here / name)) in seen:
                again.append(here / name)
            else:
                seen.add(identity)
                below.append(name)
        if not folders and not files and here != folder:
            empty.append(here)
        folders[:] = below
        for name in files:
            kind = hidden if _is_hidden(name) else pictures if is_picture(name) else others
            kind.append(here / name)
    if not pictures:  # beside pictures, arrays may be anything
        pictures = [path for path in others if path.suffix.lower() in ARRAYS]
        others = [path for path in others if path.suffix.lower() not in ARRAYS]
    return Listing(tuple(sorted(pictures, key=natural_order)), *map(tuple, (sorted(others), hidden, empty, again)))


def list_images(folder: Path) -> list[Path]:
    """The picture files below a folder, known by their suffix, `2.jpg` before `10.jpg`; hidden ones are left out.

    Links to folders are followed, and each folder is read once.

    Raises:
        EnvironmentFault: a folder cannot be read.
    """
    return list(scan(folder).pictures)


def visible_folders(folder: Path) -> list[Path]:
    """The folders in a folder but hidden ones, links to folders too, in their natural order; none where it is none.

    Raises:
        EnvironmentFault: it cannot be read.
    """
    if not folder.is_dir():
        return []
    try:
        found = (each for each in folder.iterdir() if not _is_hidden(each.name) and each.is_dir())
        return sorted(found, key=natural_order)
    except OSError as error:
        _refuse(error)


def is_picture(name: str) -> bool:
    """Whether a file's name has the suffix of a picture, in capitals or not."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def natural_order(path: Path) -> tuple[list[str | int], str]:
    """A key to sort paths by: `2.jpg` before `10.jpg`."""
    text = path.as_posix()
    pieces = re.split(r"(\d+)", text)  # words and numbers take turns, so that only like is compared with like
    return [int(piece) if piece.isdecimal() else piece for piece in pieces], text


def nearest_folder(path: Path) -> Path | None:
    """The folder that is there and that a mistyped path may have meant: each of its names may have a slip."""
    path = path.expanduser()
    reached = Path(path.anchor) if path.is_absolute() else Path()
    for name in path.parts[1 if path.anchor else 0 :]:
        if (reached / name).is_dir():
            reached /= name
            continue
        near = difflib.get_close_matches(name, [each.name for each in _quietly(reached)], n=1)
        if not near:
            return None
        reached /= near[0]
    return reached


def did_you_mean(path: Path) -> str:
    """`; did you mean 'datasets/horse2zebra'?`, or nothing."""
    near = nearest_folder(path)
    return "" if near is None or near == path.expanduser() else f"; did you mean '{near}'?"


def _quietly(folder: Path) -> Iterator[Path]:
    try:
        yield from visible_folders(folder)
    except EnvironmentFault:
        return


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT_BEHIND


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        _refuse(error)
    return status.st_dev, status.st_ino


def _refuse(error: OSError) -> NoReturn:
    raise EnvironmentFault(f"cannot read the folder {error.filename}: {error.strerror}") from error


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def joined(listings: Iterable[Listing]) -> Listing:
    """Several listings as one."""
    return sum(listings, Listing())
