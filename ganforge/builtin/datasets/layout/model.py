"""A dataset's folders, what is wrong with them, and what is said of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal

from ganforge import images
from ganforge.errors import nearest
from ganforge.images.listing import Listing, did_you_mean, joined, visible_folders

SPLITS = ("train", "val", "test")
HELD_OUT = ("val", "test")
# Pictures that training does not look for.
UNREAD = re.compile(
    r"\.(avif|heic|heif|jxl|jp2|j2k|jfif|ppm|pgm|tga|exr|hdr|psd|dng|cr2|nef|arw|npy|dcm)", re.IGNORECASE
)
_ROLE = re.compile(r"(?i:(train)(?:ing)?|(val)(?:id(?:ation)?)?|(test)(?:ing)?)([AB])?")

Kind = Literal["two_domains", "pairs", "two_folders", "classes", "one_folder"]
KINDS: tuple[Kind, ...] = ("two_domains", "pairs", "two_folders", "classes", "one_folder")


@dataclass(frozen=True)
class Folder:
    """A folder of pictures; `split` and `domain` are empty where the layout has none."""

    path: Path
    name: str
    split: str = ""
    domain: str = ""
    found: Listing = field(default_factory=Listing)
    """What lies below the folder."""

    @property
    def held_out(self) -> bool:
        """Whether the folder's pictures are kept from training."""
        return self.split in HELD_OUT


@dataclass(frozen=True)
class Fault:
    """Why a layout cannot be trained on."""

    kind: Literal["missing_folder", "empty_folder", "ambiguous", "unknown_class", "no_partner", "same_name"]
    text: str
    cure: str
    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}\n  {self.cure}" if self.cure else self.text


@dataclass(frozen=True)
class Layout:
    """The folders of a dataset. `pairs` are two pictures side by side in one file, `two_folders` pairs of files."""

    root: Path
    kind: Kind
    folders: tuple[Folder, ...]
    """The folders of all splits, those of training first."""
    beside: tuple[Folder, ...] = ()
    """Folders that hold pictures and are no part of the layout."""
    around: Listing = field(default_factory=Listing)
    """What lies in none of the folders."""
    ambiguity: Fault | None = None

    @property
    def squeezed(self) -> bool:
        """Whether pictures that are no squares are squeezed; the other datasets cut out their centre."""
        return self.kind in ("two_domains", "pairs", "two_folders")

    @property
    def splits(self) -> list[str]:
        """The splits that there are, in their order."""
        there = {folder.split for folder in self.folders}
        return [split for split in SPLITS if split in there]

    @property
    def validation(self) -> str | None:
        """The split that validates: val, or else test."""
        return next((split for split in self.splits if split in HELD_OUT), None)

    def of(self, split: str) -> list[Folder]:
        """The folders of a split; where there are no splits, all are training's."""
        return [folder for folder in self.folders if folder.split == split or (split == "train" and not folder.split)]

    def pictures(self, split: str, domain: str = "") -> list[Path]:
        """The pictures of a split, and of a domain or class of it."""
        return [path for folder in self.of(split) if folder.domain == domain for path in folder.found.pictures]

    @cached_property
    def classes(self) -> list[str]:
        """The classes of training, in the order of their numbers."""
        return [folder.domain for folder in self.of("train") if folder.domain]

    @property
    def read(self) -> list[Folder]:
        """The folders that a training reads."""
        return [folder for folder in self.folders if folder.split in ("", "train", self.validation)]

    @cached_property
    def faults(self) -> list[Fault]:
        """What must be mended before training can start, the gravest first."""
        return self.faults_of(["train", *([self.validation] if self.validation else [])])

    def faults_of(self, splits: Sequence[str]) -> list[Fault]:
        """What must be mended before these splits can be read."""
        read = [folder for folder in self.folders if folder.split in ("", *splits)]
        found = (self._missing(splits, read), self._classes(), self._partners(splits))
        return [*([self.ambiguity] if self.ambiguity else []), *chain.from_iterable(found)]

    def remarks(self, packing: bool = False) -> list[str]:
        """What is read for what, where that is not plain, and what is left out, counted; one line.

        Nothing but what is left out concerns `packing`, which takes all splits.
        """
        if packing:
            left = [f"{name} ({_pictures(count)})" for name, count in _counts(self.beside).items()]
            left += joined((self.around, *(folder.found for folder in self.folders))).left_out()
            return [f"left out: {', '.join(left)}"] if left else []
        told = []
        if self.kind == "classes" and self.splits:
            told.append(f"{len(self.classes)} classes ({some(self.classes)}) from {self._names('train')}")
        if self.kind == "one_folder" and self.splits:
            told.append(f"learns from {self._names('train')}")
        if self.validation and (told or len(self.splits) > 2):
            told.append(f"validates on {self._names(self.validation)}")
        if self.kind == "classes" and self.validation:
            there = {folder.domain for folder in self.of(self.validation)}
            if lacking := [name for name in self.classes if name not in there]:
                told.append(f"{self.validation} has none of {some(lacking)}")
        unread = [folder for folder in self.folders if folder.split not in ("", "train", self.validation)]
        left = [f"{name} ({_pictures(count)})" for name, count in _counts([*unread, *self.beside]).items()]
        around = joined((self.around, *(folder.found for folder in self.read)))
        if self.around.pictures:
            left.append(f"{_pictures(len(self.around.pictures))} beside the folders")
        left += around.left_out()
        if left:
            told.append(f"left out: {', '.join(left)}")
        return ["; ".join(told)] if told else []

    def _names(self, split: str) -> str:
        """The folders of a split as they are called at the root."""
        return " and ".join(dict.fromkeys(folder.name.partition("/")[0] for folder in self.of(split)))

    def _missing(self, splits: Sequence[str], read: Sequence[Folder]) -> Iterator[Fault]:
        needed = self.needed(splits)
        if not self.root.is_dir() and not needed:
            what = f"no such folder; {self._holds('train', '')}{did_you_mean(self.root)}"
            yield Fault("missing_folder", f"{self.root}: {what}", "")
        for split, domain in needed:
            if not any(folder.domain == domain for folder in self.of(split)):
                what = f"no such folder; {self._holds(split, domain)}{self._near(split + domain)}"
                yield Fault("missing_folder", f"{self.root / (split + domain)}: {what}", "")
        for folder in read:
            if not folder.found.pictures and self.root.is_dir():
                wanted = self._holds(folder.split, folder.domain)
                yield Fault("empty_folder", f"{folder.path}: no pictures in it; {wanted}", "", (folder.path,))

    def _near(self, name: str) -> str:
        """`; did you mean 'train_A'?`: what a missing folder may be called."""
        if not self.root.is_dir():
            return did_you_mean(self.root)
        near = nearest(name, [path.name for path in visible_folders(self.root) if not role_of(path.name)])
        return f"; is it '{near}'? then rename it" if near else ""

    def needed(self, splits: Sequence[str]) -> list[tuple[str, str]]:
        """The split and domain of each folder that must be there: both domains of training, and of these splits."""
        match self.kind:
            case "two_domains" | "two_folders":
                return [(split, domain) for split in dict.fromkeys(("train", *splits)) for domain in "AB"]
            case "pairs":
                return [("train", "")]
        return []

    def _holds(self, split: str, domain: str) -> str:
        what = {
            "two_domains": f"the {split} pictures of domain {domain}",
            "two_folders": "pictures of the same names as its partner",
            "pairs": f"the {split} pictures, each a pair side by side",
            "classes": f"the pictures of the class {domain}",
            "one_folder": "the pictures to learn from",
        }[self.kind]
        return f"it should hold {what} ({', '.join(sorted(images.SUFFIXES))})"

    def _classes(self) -> Iterator[Fault]:
        if self.kind != "classes" or self.ambiguity:
            return
        unknown = [folder for folder in self.folders if folder.held_out and folder.domain not in self.classes]
        for folder in unknown:
            near = did_you_mean(self.of("train")[0].path.parent / folder.domain) if self.classes else ""
            yield Fault(
                "unknown_class",
                f"{folder.path} is a class that training has not: {some(self.classes)}{near}",
                "give it the name of one, or move it away",
                (folder.path,),
            )

    def _partners(self, splits: Sequence[str]) -> Iterator[Fault]:
        if self.kind == "two_folders":
            for split in splits:
                yield from _lonely(*(self.of_domain(split, domain) for domain in "AB"))

    def of_domain(self, split: str, domain: str) -> Folder | None:
        """The folder of a domain."""
        return next((folder for folder in self.of(split) if folder.domain == domain), None)

    def pairs(self, split: str) -> list[tuple[Path, Path]]:
        """The pictures of two folders that have equal names, whatever their suffixes; there must be no faults."""
        a, b = (_by_name(folder) for domain in "AB" if (folder := self.of_domain(split, domain)))
        return [(a[name][0], b[name][0]) for name in a]


def unread_pictures(folder: Folder) -> list[Path]:
    """The pictures of a folder that training leaves out, because of their formats."""
    return [path for path in folder.found.others if UNREAD.fullmatch(path.suffix)]


def role_of(name: str) -> tuple[str, str] | None:
    """The split that a folder is named after, and the domain; `Valid` is val, `trainA` domain A of train."""
    if not (match := _ROLE.fullmatch(name)):
        return None
    split = next(group for group in match.groups()[:3] if group)
    return split.lower(), match[4] or ""


def _lonely(a: Folder | None, b: Folder | None) -> Iterator[Fault]:
    if a is None or b is None:
        return
    names = {folder: _by_name(folder) for folder in (a, b)}
    for paths in (paths for found in names.values() for paths in found.values() if len(paths) > 1):
        text = f"{paths[0]} and {paths[1]} have one name but for their suffixes"
        yield Fault("same_name", text, "rename one of them", tuple(paths))
    in_a, in_b = names[a], names[b]
    lonely = [in_a[name][0] for name in in_a if name not in in_b] + [in_b[name][0] for name in in_b if name not in in_a]
    if lonely and in_a and in_b:
        yield Fault(
            "no_partner",
            f"{min(lonely)} has no partner of the same name in the other of {a.path} and {b.path}; "
            f"so it is with {len(lonely)} in all",
            "rename them, or take them out",
            tuple(sorted(lonely)),
        )


def _by_name(folder: Folder) -> dict[Path, list[Path]]:
    named: dict[Path, list[Path]] = {}
    for path in folder.found.pictures:
        named.setdefault(path.relative_to(folder.path).with_suffix(""), []).append(path)
    return named


def _counts(folders: Iterable[Folder]) -> Counter[str]:
    """How many pictures there are, by the folder at the root."""
    counts = Counter[str]()
    for folder in folders:
        counts[folder.name.partition("/")[0]] += len(folder.found.pictures)
    return counts


def _pictures(count: int) -> str:
    return f"{count:,} picture" if count == 1 else f"{count:,} pictures"


def some(names: list[str]) -> str:
    """The first of many names."""
    return ", ".join([*names[:5], *["..."] * (len(names) > 5)])
