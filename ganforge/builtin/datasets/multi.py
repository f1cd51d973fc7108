"""Samples of any named fields: pictures of several folders, masks, classes and numbers of a table."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import default_collate

from ganforge import BadFile, Dataset, EnvironmentFault, Sample, Samples, images
from ganforge.builtin.datasets.caching import Cache, Pictures, pictures
from ganforge.builtin.datasets.fields import FieldSource
from ganforge.builtin.datasets.fitting import MOST, refuse_misfits, refuse_two_sizes
from ganforge.builtin.datasets.folders import MaskReader, Reader
from ganforge.builtin.datasets.framing import Fit, Framing, Scale, Size, load_size
from ganforge.builtin.datasets.layout.model import role_of
from ganforge.builtin.datasets.tables import Row, read_table
from ganforge.images.listing import did_you_mean, list_images, visible_folders

SPLITS = ("val", "test")
SPLIT = "{split}"


@dataclass(frozen=True)
class Contents:
    """What the samples of a split are made of."""

    files: Mapping[str, Sequence[Path]]
    """Of each field of pictures, in the order of samples; independent ones in their own."""
    values: Mapping[str, Tensor]
    """Of each field of classes or numbers, `[N, ...]`."""
    count: int


class MultiFolders(Dataset):
    """Any named fields, each from a folder of its own or from a column of a table: inputs, masks, conditions, classes.

    Files of folders belong together if they have one name, whatever their suffixes and subfolders of splits; rows of a
    table are samples. All pictures and masks of a sample get the same crop and the same mirroring, but `independent`
    ones, which are drawn at random. Validation samples are those of val or else test: where folders name their split
    by `{split}`, or the table has a column `split`.
    Fields: pictures, float `[channels, *crop_px]` in `[-1, 1]`; masks, float `[1, *crop_px]` of 0 and 1; classes, int64
    `[]`; numbers, float `[]`, or `[columns]` of several.

    Args:
        fields: what each field is and where it lies, such as `{photo: {folder: photos}, depth: {folder: depths,
            channels: 1, depth: 16}, kind: {column: kind, kind: class, classes: [cat, dog]}}`.
        root: the folder that all others, and files in a table, are relative to.
        table: CSV, TSV, JSON lines, Parquet (`ganforge[parquet]`), or StyleGAN's `dataset.json`, whose columns are
            `file` and `label`; relative to `root`.
        load_px: the size of a picture before the crop, the side of a square or [height, width]; `crop_px` if left out.
        crop_px: the size of a sample, the side of a square or [height, width].
        flip: mirror left to right with probability 1/2.
        cache: `memory` reads and resizes every picture once, before the first step; `device` keeps them on the GPU.
        fit: how a picture of other proportions is brought to `load_px`: `squeeze`, `cover`, `contain` or `none`.
        scale_px: for `fit: none`, what the shorter side becomes, or `{longer: 512}`.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; options that do not go together; no field is a file.
    """

    resizer = images.RESIZER

    def __init__(
        self,
        fields: Annotated[dict[str, FieldSource], Field(min_length=1)],
        root: Path = Path(),
        table: Path | None = None,
        load_px: Size | None = None,
        crop_px: Size = 256,
        flip: bool = True,
        cache: Cache = "none",
        fit: Fit = "squeeze",
        scale_px: Scale | None = None,
    ) -> None:
        self.sources, self.root, self.cache = fields, root.expanduser(), cache
        self.table = None if table is None else self.root / table
        self.framing = Framing(load_size(load_px, crop_px, fit), crop_px, flip, fit, scale_px)
        if not any(source.is_file and not source.independent for source in fields.values()):
            raise ValueError("one field at least is a picture or a mask that is not `independent`")
        if lacking := [name for name, source in fields.items() if source.column and table is None]:
            raise ValueError(f"the field '{lacking[0]}' is read from a column, and there is no `table`")

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {name: source.shape(self.framing.crop) for name, source in self.sources.items()}

    def dtypes(self) -> Mapping[str, torch.dtype]:
        named = {"class": torch.int64, "mask": torch.float32}
        return {name: named[source.kind] for name, source in self.sources.items() if source.kind in named}

    def ranges(self) -> Mapping[str, range]:
        return {name: range(source.count) for name, source in self.sources.items() if source.kind == "class"}

    def groups(self) -> Sequence[Sequence[str]]:
        return [[name for name, source in self.sources.items() if source.is_file and not source.independent]]

    def class_names(self) -> Mapping[str, Sequence[str]]:
        named = ((name, source.classes) for name, source in self.sources.items())
        return {name: classes for name, classes in named if isinstance(classes, tuple)}

    def storage(self) -> Mapping[str, images.Storage]:
        return {name: source.storage for name, source in self.sources.items() if source.is_file}

    def prepare(self) -> None:
        found: dict[images.Storage, list[Path]] = {}
        for split in ("train", self._validates()):
            for name, files in self._contents(split).files.items() if split else ():
                if self.sources[name].kind == "mask":  # any numbers are one
                    continue
                found.setdefault(self.sources[name].storage, []).extend(files)
        if self.skips_bad:
            return
        refuse_misfits(found, self.framing)
        if not self.framing.one_size:
            for split in ("train", self._validates()):
                refuse_two_sizes(self._together(split) if split else [])

    def _together(self, split: str) -> list[list[tuple[Path, images.Storage]]]:
        """The files of each sample that are cropped alike."""
        files = self._contents(split).files
        aligned = {name: paths for name, paths in files.items() if not self.sources[name].independent}
        stored = [self.sources[name].storage for name in aligned]
        return [list(zip(paths, stored, strict=True)) for paths in zip(*aligned.values(), strict=True)]

    def files(self) -> Sequence[Path]:
        splits = [split for split in ("train", self._validates()) if split]
        found = {file for split in splits for files in self._contents(split).files.values() for file in files}
        return [*sorted(found), *([self.table] if self.table else [])]

    def train(self) -> Samples:
        return self._samples("train", self.framing)

    def validation(self) -> Samples | None:
        split = self._validates()
        return self._samples(split, self.framing.whole) if split else None

    def _samples(self, split: str, framing: Framing) -> Samples:
        contents = self._contents(split)
        held = {name: self._held(name, files, framing) for name, files in contents.files.items()}
        return _Samples(self.sources, framing, held, contents)

    def _held(self, name: str, files: Sequence[Path], framing: Framing) -> Pictures:
        source = self.sources[name]
        read = MaskReader(framing) if source.kind == "mask" else Reader(source.storage, framing)
        return pictures(files, read, self.cache, self.skips_bad, framing.one_size)

    # What there is

    def _validates(self) -> str | None:
        """The split that validates: val, or else test."""
        rows = read_table(self.table) if self.table else []
        column = _split_column(rows)
        folders = [source.folder for source in self.sources.values() if source.folder and SPLIT in source.folder]
        for split in SPLITS:
            if column and any((role_of(str(row[column])) or ("",))[0] == split for row in rows):
                return split
            if any(list_images(self._split_folder(folder, split)) for folder in folders):
                return split
        return None

    def _contents(self, split: str) -> Contents:
        """What the samples of a split are made of.

        Raises:
            EnvironmentFault: a folder, a file or a column is missing, or a file has no partner.
        """
        rows = self._rows(split)
        files: dict[str, Sequence[Path]] = {}
        named = {name: self._in_folder(name, source, split) for name, source in self.sources.items() if source.folder}
        if rows:
            files |= self._of_table(rows)
            stems = self._stems(next(iter(files.values())), named.values()) if files else None
        else:
            stems = None
        together = {name: found for name, found in named.items() if not self.sources[name].independent}
        if together:
            files |= _matched(together, stems)
        files |= {name: list(found.values()) for name, found in named.items() if self.sources[name].independent}
        valued = {name: source for name, source in self.sources.items() if not source.is_file}
        values = {name: source.values(rows, name) for name, source in valued.items()}
        count = next(len(found) for name, found in files.items() if not self.sources[name].independent)
        return Contents({name: files[name] for name in self.sources if name in files}, values, count)

    def _stems(self, files: Sequence[Path], folders: Iterable[Mapping[str, Path]]) -> list[str]:
        """What files of a table are called in folders: by their paths below the root, or by their names alone.

        Raises:
            EnvironmentFault: two of them would share what a folder has.
        """
        known = [set(found) for found in folders]
        whole = [path.relative_to(self.root) if path.is_relative_to(self.root) else path for path in files]
        paths = [path.with_suffix("").as_posix() for path in whole]
        if known and all(set(paths) <= stems for stems in known):
            return paths
        names = [path.stem for path in files]
        shared = [name for name, count in Counter(names).items() if count > 1]
        if known and shared and len(set(files)) > len(set(names)):
            raise EnvironmentFault(
                f"several files of {self.table} are called '{shared[0]}', and would share what folders have of it",
                "lay the folders' files out in the same subfolders, or name them in a column",
            )
        return names

    def _rows(self, split: str) -> Sequence[Row]:
        if self.table is None:
            return []
        rows = read_table(self.table)
        columns = {column for source in self.sources.values() for column in source.columns}
        if lacking := sorted(columns - set(rows[0])):
            has = ", ".join(rows[0])
            raise EnvironmentFault(f"the table {self.table} has no column '{lacking[0]}'", f"it has {has}")
        if (column := _split_column(rows)) is None:
            return rows
        wrong = [n for n, row in enumerate(rows, start=1) if role_of(str(row[column])) is None]
        if wrong:
            told = f"row {wrong[0]} of {self.table} has the split '{rows[wrong[0] - 1][column]}'"
            raise EnvironmentFault(f"{told}, and so it is with {len(wrong)} in all", "write train, val or test")
        chosen = [row for row in rows if (role_of(str(row[column])) or ("",))[0] == split]
        if not chosen:
            raise EnvironmentFault(f"no row of {self.table} has the split '{split}'", "name it in the column `split`")
        return chosen

    def _of_table(self, rows: Sequence[Row]) -> dict[str, Sequence[Path]]:
        """The files that a table names; all that are missing are told."""
        files: dict[str, Sequence[Path]] = {}
        missing: list[str] = []
        for name, source in self.sources.items():
            if source.column and source.is_file:
                files[name] = [self.root / str(row[source.columns[0]]) for row in rows]
                missing += [f"  {path} ({name})" for path in files[name] if not path.is_file()]
        if missing:
            shown = "\n".join(missing[:MOST])
            raise EnvironmentFault(
                f"{len(missing)} files of {self.table} are missing:\n{shown}", "correct `root`, or it"
            )
        return files

    def _split_folder(self, folder: str, split: str) -> Path:
        """A folder of a split, as it is called here: `Val` and `validation` are val."""
        plain = self.root / folder.replace(SPLIT, split)
        above = self.root / folder.partition(SPLIT)[0]
        if SPLIT not in folder or plain.is_dir() or not above.is_dir():
            return plain
        names = [path.name for path in visible_folders(above) if (role_of(path.name) or ("",))[0] == split]
        return self.root / folder.replace(SPLIT, names[0]) if names else plain

    def _in_folder(self, name: str, source: FieldSource, split: str) -> dict[str, Path]:
        """The files of a field's folder, by their names without suffix."""
        folder = self._split_folder(str(source.folder), split)
        if not folder.is_dir():
            raise EnvironmentFault(f"{folder}: no such folder, of the field '{name}'{did_you_mean(folder)}")
        found: dict[str, Path] = {}
        for path in list_images(folder):
            stem = path.relative_to(folder).with_suffix("").as_posix()
            if stem in found:
                raise EnvironmentFault(f"{found[stem]} and {path} have one name but for their suffixes", "rename one")
            found[stem] = path
        if not found:
            raise EnvironmentFault(f"{folder}: no pictures in it, of the field '{name}'")
        return found


def _split_column(rows: Sequence[Row]) -> str | None:
    """The column that says which split a row is of."""
    return next((name for name in rows[0] if str(name).strip().lower() == "split"), None) if rows else None


def _matched(folders: Mapping[str, Mapping[str, Path]], stems: Sequence[str] | None) -> dict[str, Sequence[Path]]:
    """Files of one name in all folders, in the order of a table's samples, or of the first folder.

    Raises:
        EnvironmentFault: some have no partner; the message names them.
    """
    wanted = list(next(iter(folders.values()))) if stems is None else stems
    known = set(wanted)
    lonely = [
        f"  {name} has none for '{stem}'" for name, found in folders.items() for stem in wanted if stem not in found
    ]
    if stems is None:
        first = next(iter(folders))
        others = ((path, stem) for found in folders.values() for stem, path in found.items())
        lonely += [f"  {path}: '{first}' has none" for path, stem in others if stem not in known]
    if lonely:
        more = f"\n  and {len(lonely) - MOST} more" if len(lonely) > MOST else ""
        shown = "\n".join(lonely[:MOST])
        raise EnvironmentFault(f"{len(lonely)} files have no partner:\n{shown}{more}", "rename them, or take them out")
    return {name: [found[stem] for stem in wanted] for name, found in folders.items()}


class _Samples(Samples):
    """Fields that belong together, framed alike; independent ones are drawn."""

    def __init__(
        self, sources: Mapping[str, FieldSource], framing: Framing, held: Mapping[str, Pictures], contents: Contents
    ) -> None:
        self.sources, self.framing, self.held, self.contents = sources, framing, held, contents
        on_host = (not isinstance(each, Tensor) or each.device.type == "cpu" for each in held.values())
        self.in_workers = all(on_host)

    def __len__(self) -> int:
        return self.contents.count

    def sample(self, index: int, rng: random.Random) -> Sample:
        sample: dict[str, Any] = {name: values[index] for name, values in self.contents.values.items()}
        place, size = None, None
        for name, held in self.held.items():
            source = self.sources[name]
            picture = held[rng.randrange(len(held)) if source.independent else index]
            if source.independent:
                framed = self.framing.augment(picture, rng)
            else:
                if size not in (None, picture.shape[1:]):
                    raise self._of_two_sizes(index)
                size = picture.shape[1:]
                place = place or self.framing.draw(rng, *size)
                framed = self.framing.cut(picture, place)
            sample[name] = _mask(framed) if source.kind == "mask" else framed
        return {name: sample[name] for name in self.sources}

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return default_collate([self.sample(index, rng) for index, rng in zip(indices, rngs, strict=True)])

    def _of_two_sizes(self, index: int) -> BadFile:
        together = {name: held for name, held in self.held.items() if not self.sources[name].independent}
        sizes = ", ".join(f"{name} {held[index].shape[2]}x{held[index].shape[1]}" for name, held in together.items())
        first = self.contents.files[next(iter(together))][index]
        cure = "make them of one size, or say a `fit` that scales them"
        return BadFile(f"the pictures of sample {first.stem} are of different sizes: {sizes}", cure)


def _mask(picture: Tensor) -> Tensor:
    """Bytes as 0 and 1: what is brighter than grey counts."""
    return (picture > 127).float()
