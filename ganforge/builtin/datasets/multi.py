"""Samples of any named fields: pictures of several folders, masks, classes and numbers of a table."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import default_collate

from ganforge import BadFile, Sample, Samples, images
from ganforge.builtin.datasets.caching import Cache, Pictures, pictures
from ganforge.builtin.datasets.catalogue import Catalogue, Contents
from ganforge.builtin.datasets.fields import FieldSource
from ganforge.builtin.datasets.fitting import refuse_misfits, refuse_two_sizes
from ganforge.builtin.datasets.folders import MaskReader, Reader
from ganforge.builtin.datasets.framing import Fit, FramedDataset, Framing, Scale, Size

ANY_NUMBERS = images.Storage(1, "float", "file")
"""How files of masks are looked at: of whatever numbers they are."""


class MultiFolders(FramedDataset):
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
        self.catalogue = Catalogue(fields, self.root, self.table)
        self.framing = Framing.of(load_px, crop_px, flip, fit, scale_px)
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
        self.catalogue = Catalogue(self.sources, self.root, self.table)
        found: dict[images.Storage, list[Path]] = {}
        for split in self.catalogue.splits:
            for name, files in self.catalogue.contents(split).files.items():
                mask = self.sources[name].kind == "mask"
                found.setdefault(ANY_NUMBERS if mask else self.sources[name].storage, []).extend(files)
        if self.skips_bad:
            return
        refuse_misfits(found, self.framing)
        if not self.framing.one_size:
            for split in self.catalogue.splits:
                refuse_two_sizes(self._together(split))

    def _together(self, split: str) -> list[list[tuple[Path, images.Storage]]]:
        """The files of each sample that are cropped alike."""
        files = self.catalogue.contents(split).files
        aligned = {name: paths for name, paths in files.items() if not self.sources[name].independent}
        stored = [self.sources[name].storage for name in aligned]
        return [list(zip(paths, stored, strict=True)) for paths in zip(*aligned.values(), strict=True)]

    def files(self) -> Sequence[Path]:
        read = [self.catalogue.contents(split).files for split in self.catalogue.splits]
        found = {file for fields in read for files in fields.values() for file in files}
        return [*sorted(found), *([self.table] if self.table else [])]

    def train(self) -> Samples:
        return self._samples("train", self.framing)

    def validation(self) -> Samples | None:
        split = self.catalogue.validation
        return self._samples(split, self.framing.whole) if split else None

    def _samples(self, split: str, framing: Framing) -> Samples:
        contents = self.catalogue.contents(split)
        held = {name: self._held(name, files, framing) for name, files in contents.files.items()}
        return _Samples(self.sources, framing, held, contents)

    def _held(self, name: str, files: Sequence[Path], framing: Framing) -> Pictures:
        source = self.sources[name]
        read = MaskReader(framing) if source.kind == "mask" else Reader(source.storage, framing)
        return pictures(files, read, self.cache, self.skips_bad, framing.one_size)


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
