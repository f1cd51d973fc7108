"""What will be packed into which shard: a function of the files' names, sizes and times, and of a seed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganforge import EnvironmentFault, UsageError
from ganforge.builtin.datasets.layout import model as layouts
from ganforge.builtin.datasets.layout.reading import read_layout
from ganforge.builtin.datasets.shards.index import LAYOUTS, VERSION, Layout, shard_name
from ganforge.builtin.datasets.shards.tars import room, size_of_tar
from ganforge.images.listing import did_you_mean

_KINDS: Mapping[Layout, layouts.Kind] = {
    "unpaired": "two_domains",
    "side_by_side": "pairs",
    "two_folders": "two_folders",
    "one_folder": "one_folder",
    "classes": "classes",
}


@dataclass(frozen=True)
class Item:
    """A sample: its files, in the order of its pictures, with their sizes and times of change in ns."""

    files: tuple[Path, ...]
    sizes: tuple[int, ...]
    times: tuple[int, ...]
    label: int | None = None
    """The number of its class, which is a file of its own in the tar."""

    @property
    def members(self) -> tuple[int, ...]:
        """The sizes of its files in the tar."""
        return self.sizes if self.label is None else (*self.sizes, len(str(self.label)))


@dataclass(frozen=True)
class Draft:
    """A shard to be: the samples of a split from number `first` on."""

    name: str
    split: str
    first: int
    items: Sequence[Item]

    @property
    def sizes(self) -> list[int]:
        """The sizes of the shard's files in bytes, in their order."""
        return [size for item in self.items for size in item.members]

    @property
    def bytes(self) -> int:
        """The size of the shard in bytes."""
        return size_of_tar(self.sizes)

    def fingerprint(self, root: Path) -> str:
        """Equal where the shard would be equal: a SHA-256 over all that it is made of but the files' contents."""
        files: list[tuple[object, ...]] = [
            (file.relative_to(root).as_posix(), size, time, *(() if item.label is None else (item.label,)))
            for item in self.items
            for file, size, time in zip(item.files, item.sizes, item.times, strict=True)
        ]
        return hashlib.sha256(json.dumps([VERSION, self.name, self.first, files]).encode()).hexdigest()


def find_layout(root: Path, layout: str | None) -> Layout:
    """The layout that was asked for, or the one that the folders' names tell.

    Raises:
        UsageError: they tell none, or two.
    """
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}{did_you_mean(root)}")
    if layout is not None:
        return next(known for known in LAYOUTS if known == layout)
    sheets = read_layout(root, "pairs").of_domain("train", "") is not None
    domains = read_layout(root, "two_domains").of_domain("train", "A") is not None
    if sheets == domains:
        found = "both train and trainA" if sheets else "neither train nor trainA"
        raise UsageError(
            f"{root} has {found}: a pack is made of trainA and trainB, or of train with pairs side by side",
            "name the folder that has one of them, or say which with --layout: other pictures are one_folder, and "
            "those with a folder for each class classes",
        )
    return "side_by_side" if sheets else "unpaired"


def classes_of(root: Path, layout: Layout) -> tuple[str, ...]:
    """The names of the classes that are packed, in the order of their numbers."""
    return tuple(read_layout(root, "classes").classes) if layout == "classes" else ()


def drafts_of(root: Path, layout: Layout, seed: int, shard_bytes: int) -> list[Draft]:
    """All shards of a pack, each as large as `shard_bytes` lets it be, and of one sample at least.

    Training samples are shuffled by a hash of their names: one file more or less leaves the order of the others, so an
    interrupted pack whose broken file was taken out goes on. Held-out ones keep the folders' order.

    Raises:
        EnvironmentFault: a folder is missing or empty, a pair incomplete, a file cannot be read.
    """
    found = read_layout(root, _KINDS[layout])
    if faults := found.faults_of(found.splits):
        raise EnvironmentFault(str(faults[0]))
    drafts: list[Draft] = []
    for split, groups in _splits(found).items():
        items = [_item(files, label) for files, label in groups]
        if split.startswith("train"):
            items.sort(key=lambda item: _draw(item.files[0].relative_to(root).as_posix(), seed))
        first = 0
        for number, chunk in enumerate(_chunks(items, shard_bytes)):
            drafts.append(Draft(shard_name(split, number), split, first, chunk))
            first += len(chunk)
    return drafts


def remarks(root: Path, layout: Layout) -> list[str]:
    """What in a folder does not go into the pack."""
    return read_layout(root, _KINDS[layout]).remarks(packing=True)


def _splits(found: layouts.Layout) -> dict[str, list[tuple[tuple[Path, ...], int | None]]]:
    """The files of each sample, and its class, by split."""
    if found.kind == "two_folders":
        return {split: [(pair, None) for pair in found.pairs(split)] for split in found.splits}
    there = [folder for folder in found.folders if folder.found.pictures]
    if found.kind != "classes":
        names = {folder: f"{folder.split or 'train'}{folder.domain}" for folder in there}
        return {name: [((path,), None) for path in folder.found.pictures] for folder, name in names.items()}
    splits: dict[str, list[tuple[tuple[Path, ...], int | None]]] = {}
    for folder in there:
        label = found.classes.index(folder.domain)
        splits.setdefault(folder.split or "train", []).extend(((path,), label) for path in folder.found.pictures)
    return splits


def _item(files: tuple[Path, ...], label: int | None) -> Item:
    try:
        known = [os.stat(file) for file in files]
    except OSError as error:
        raise EnvironmentFault(f"{error.filename}: {error.strerror}") from error
    sizes, times = ([getattr(status, name) for status in known] for name in ("st_size", "st_mtime_ns"))
    return Item(files, tuple(sizes), tuple(times), label)


def _draw(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogateescape")).digest()


def _chunks(items: Sequence[Item], shard_bytes: int) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    size = empty = size_of_tar([])
    for item in items:
        more = sum(room(size) + len(f"{size},") for size in item.members)  # and its place in the list of sizes
        if chunk and size + more > shard_bytes:
            yield chunk
            chunk, size = [], empty
        chunk.append(item)
        size += more
    if chunk:
        yield chunk
