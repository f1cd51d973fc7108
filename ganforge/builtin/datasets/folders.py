"""Folders of pictures: finding what is in them; the datasets of a single one, and of one for each class."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import BadFile, EnvironmentFault, Sample, Samples, images
from ganforge.builtin.datasets.archives import Archive
from ganforge.builtin.datasets.caching import Cache, Pictures, pictures
from ganforge.builtin.datasets.download import fetch
from ganforge.builtin.datasets.fitting import refuse_misfits
from ganforge.builtin.datasets.framing import Fit, FramedDataset, Framing, Scale, Size
from ganforge.builtin.datasets.layout.model import Folder, Kind, Layout
from ganforge.builtin.datasets.layout.reading import read_layout
from ganforge.builtin.datasets.singles import Pictured, SinglePictures, WithClasses
from ganforge.images.storage import read_mask

Channels = Annotated[int, Field(ge=1)]


class Folders:
    """The folders of a dataset: looked at when they are first needed, and anew by `look`."""

    def __init__(self, root: Path, kind: Kind) -> None:
        self.root, self.kind = root, kind

    @cached_property
    def layout(self) -> Layout:
        """What there is, which can be trained on.

        Raises:
            EnvironmentFault: something is missing, or could be read in two ways.
        """
        layout = read_layout(self.root, self.kind)
        if layout.faults:
            raise EnvironmentFault(str(layout.faults[0]))
        return layout

    def look(self) -> Layout:
        """Read the folders anew, and give the layout that they have now."""
        vars(self).pop("layout", None)
        return self.layout


@dataclass(frozen=True)
class Reader:
    """Files as pictures of a field, before they are cropped."""

    storage: images.Storage
    framing: Framing

    def __call__(self, path: Path) -> Tensor:
        picture = self.storage.read(path)
        try:
            return self.framing.bring(picture)
        except ValueError as error:
            raise BadFile(f"cannot use the picture {path}: {error}", TOO_SMALL) from error


TOO_SMALL = "lower `crop_px`, enlarge pictures by `scale_px` or another `fit`, or take such files out"


@dataclass(frozen=True)
class MaskReader:
    """Files as masks, before they are cropped."""

    framing: Framing

    def __call__(self, path: Path) -> Tensor:
        mask = read_mask(path)
        try:
            return self.framing.bring(mask)
        except ValueError as error:
            raise BadFile(f"cannot use the mask {path}: {error}", TOO_SMALL) from error


class FolderDataset(FramedDataset):
    """What datasets of folders have in common, whatever the pictures are to each other."""

    root: Path
    folders: Folders

    def prepare(self) -> None:
        self._look()

    def _look(self) -> Layout:
        """Look at the folders anew, and at the files as far as it is not known that all fit."""
        layout = self.folders.look()
        if not self.skips_bad:
            refuse_misfits(self._by_storage(layout), self.framing)
        return layout

    def _by_storage(self, layout: Layout) -> Mapping[images.Storage, Sequence[Path]]:
        """The files that are read, by how they are stored."""
        found: dict[images.Storage, list[Path]] = {}
        for folder in layout.read:
            found.setdefault(self.storage_of(folder), []).extend(folder.found.pictures)
        return found

    @abstractmethod
    def storage_of(self, folder: Folder) -> images.Storage:
        """How the pictures of a folder are stored."""

    def bring(self, archive: Archive | None, benchmark: str) -> None:
        """Fetch the archive, if it is asked for, and look; what is missing, this benchmark may bring."""
        if archive:
            fetch(archive.name, self.root)
        try:
            self._look()
        except BadFile:
            raise
        except EnvironmentFault as fault:
            raise EnvironmentFault(
                str(fault),
                f"put your pictures there, correct `root` (now {self.root.resolve()}), or fetch a published benchmark: "
                f"`download: {benchmark}` in the recipe, or `ganforge data download {benchmark}`",
            ) from None

    def train(self) -> Samples:
        return self._samples("train", self.framing)

    def validation(self) -> Samples | None:
        split = self.folders.layout.validation
        return self._samples(split, self.framing.whole) if split else None

    @abstractmethod
    def _samples(self, split: str, framing: Framing) -> Samples: ...

    def remarks(self) -> Sequence[str]:
        return self.folders.layout.remarks()

    def files(self) -> Sequence[Path]:
        return [path for folder in self.folders.layout.read for path in folder.found.pictures]


class ImageFolder(FolderDataset, SinglePictures):
    """All the pictures below one folder, for models that make pictures from noise.

    A picture is brought to `load_px`; by default its largest centred part of these proportions is resized. A random
    crop of `crop_px` is taken from it. Where the folder has train, and val or test, it learns from train; validation
    samples are val, or else test, not cropped at random. Fields: `real`, float `[channels, *crop_px]` in `[-1, 1]`;
    with `mask` also `mask`, float `[1, *crop_px]`, 1 where the picture is and 0 where it was filled up.

    Args:
        root: the folder; relative to the working directory.
        load_px: the size of a picture before the crop, the side of a square or [height, width]; `crop_px` if left out.
        crop_px: the size of a sample, the side of a square or [height, width].
        flip: mirror left to right with probability 1/2.
        channels: 3 for RGB, 1 for grey, 4 and 2 for those with transparency, and as many as the files have.
        cache: `memory` reads and resizes every picture once, before the first step; `device` keeps them on the GPU.
        fit: how a picture of other proportions is brought to `load_px`: `cover` it, and what juts out is cut off;
            `squeeze` it; `contain` it, and the rest is black; `none` takes the crop from it as it is.
        scale_px: for `fit: none`, what the shorter side becomes, or `{longer: 512}`.
        mask: for `fit: contain`, whether samples say where the picture is.
        depth: bits of a channel in files: 8 or 16, or `float`.
        range: which values are black and white: `[0, 4095]`; `file`, or `{percentiles: [1, 99]}` of each file; by
            default the lowest and the highest that the depth has.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; options that do not go together.
    """

    def __init__(
        self,
        root: Path,
        load_px: Size | None = None,
        crop_px: Size = 256,
        flip: bool = True,
        channels: Channels = 3,
        cache: Cache = "none",
        fit: Fit = "cover",
        scale_px: Scale | None = None,
        mask: bool = False,
        depth: images.Depth = 8,
        range: images.Range = None,
    ) -> None:
        self.root = root.expanduser()
        self.folders = Folders(self.root, "one_folder")
        self.framing = Framing.of(load_px, crop_px, flip, fit, scale_px, mask)
        self.stored = images.Storage(channels, depth, range)
        self.cache = cache

    def storage_of(self, folder: Folder) -> images.Storage:
        return self.stored

    def _samples(self, split: str, framing: Framing) -> Samples:
        return Pictured(framing, self._pictures(self.folders.layout.pictures(split), framing), self.stored.channels)

    def _pictures(self, paths: Sequence[Path], framing: Framing) -> Pictures:
        return pictures(paths, Reader(self.stored, framing), self.cache, self.skips_bad, framing.one_size)


class ClassFolders(WithClasses, ImageFolder):
    """A folder of pictures for each class, for models that make, or translate to, pictures of a class.

    The folders `root/<class>` are numbered in their natural order; those without pictures are none. Or they lie in
    `root/train` and, for validation, in `root/val` or else `root/test`, under the same names. Otherwise as
    `image_folder`.
    Fields: those of `image_folder`, and `label`, int64 `[]` in `[0, classes)`.

    Args:
        root: the folder of the classes' folders; relative to the working directory.
        classes: how many there are, so that a recipe can be checked without them.
        load_px: the size of a picture before the crop, the side of a square or [height, width]; `crop_px` if left out.
        crop_px: the size of a sample, the side of a square or [height, width].
        flip: mirror left to right with probability 1/2.
        channels: 3 for RGB, 1 for grey, 4 and 2 for those with transparency, and as many as the files have.
        cache: `memory` reads and resizes every picture once, before the first step; `device` keeps them on the GPU.
        fit: how a picture of other proportions is brought to `load_px`, as in `image_folder`.
        scale_px: for `fit: none`, what the shorter side becomes, or `{longer: 512}`.
        mask: for `fit: contain`, whether samples say where the picture is.
        depth: bits of a channel in files: 8 or 16, or `float`.
        range: which values are black and white, as in `image_folder`.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; options that do not go together.
    """

    def __init__(
        self,
        root: Path,
        classes: Annotated[int, Field(ge=1)],
        load_px: Size | None = None,
        crop_px: Size = 256,
        flip: bool = True,
        channels: Channels = 3,
        cache: Cache = "none",
        fit: Fit = "cover",
        scale_px: Scale | None = None,
        mask: bool = False,
        depth: images.Depth = 8,
        range: images.Range = None,
    ) -> None:
        super().__init__(root, load_px, crop_px, flip, channels, cache, fit, scale_px, mask, depth, range)
        self.classes, self.folders = classes, Folders(self.root, "classes")

    def prepare(self) -> None:
        self._check(self._look())

    def _samples(self, split: str, framing: Framing) -> Samples:
        layout = self.folders.layout
        self._check(layout)
        found = [layout.pictures(split, name) for name in layout.classes]
        labels = [label for label, paths in enumerate(found) for _ in paths]
        real = self._pictures([path for paths in found for path in paths], framing)
        return _Labelled(framing, real, self.stored.channels, labels)

    def _check(self, layout: Layout) -> None:
        if len(layout.classes) != self.classes:
            named = ", ".join(layout.classes[:5]) + ", ..." * (len(layout.classes) > 5)
            place = layout.of("train")[0].path.parent if layout.splits else self.root
            empty = [path.name for path in layout.around.empty if path.parent == place]
            more = f"; nothing lies in {', '.join(empty[:5])}" if empty else ""
            raise EnvironmentFault(
                f"{place} should have {self.classes} folders, one a class, and has {len(layout.classes)}"
                f"{f': {named}' if named else ''}{more}",
                f"correct `root` (now {self.root.resolve()}) or `classes`",
            )


class _Labelled(Pictured):
    """Pictures with the number of their class."""

    def __init__(self, framing: Framing, real: Pictures, channels: int, labels: list[int]) -> None:
        super().__init__(framing, real, channels)
        self.labels = labels

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {**super().sample(index, rng), "label": torch.tensor(self.labels[index])}

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return {**super().batch(indices, rngs), "label": torch.tensor([self.labels[index] for index in indices])}
