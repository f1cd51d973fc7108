"""Folders of pictures: finding what is in them; the datasets of a single one, and of one for each class."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganforge import Dataset, EnvironmentFault, Sample, Samples, images
from ganforge.builtin.datasets.archives import Archive
from ganforge.builtin.datasets.caching import Cache, Pictures, pictures
from ganforge.builtin.datasets.download import fetch
from ganforge.builtin.datasets.framing import Framed, Framing
from ganforge.builtin.datasets.layout.model import Kind, Layout
from ganforge.builtin.datasets.layout.reading import read_layout

Pixels = Annotated[int, Field(ge=1)]
Channels = Literal[1, 3]


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


def read_square(path: Path, channels: int, size_px: int) -> Tensor:
    """uint8 `[channels, size_px, size_px]`: the whole picture, squeezed if it is no square."""
    return images.resize(images.read_image(path, channels), size_px, size_px)


def _read_centre_square(path: Path, channels: int, size_px: int) -> Tensor:
    """uint8 `[channels, size_px, size_px]`: the largest centred square of the picture."""
    return images.resize(images.centre_square(images.read_image(path, channels)), size_px, size_px)


class FolderDataset(Dataset):
    """What datasets of folders have in common, whatever the pictures are to each other."""

    resizer = images.RESIZER
    root: Path
    folders: Folders
    framing: Framing

    def prepare(self) -> None:
        self.folders.look()

    def bring(self, archive: Archive | None, benchmark: str) -> None:
        """Fetch the archive, if it is asked for, and look; what is missing, this benchmark may bring."""
        if archive:
            fetch(archive.name, self.root)
        try:
            self.folders.look()
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


class ImageFolder(FolderDataset):
    """All the pictures below one folder, for models that make pictures from noise.

    The largest centred square of a picture is resized to `load_px`; a random crop of `crop_px` is taken from it.
    Where the folder has train, and val or test, it learns from train; validation samples are whole squares of val, or
    else of test. Fields: `real`, float `[channels, crop_px, crop_px]` in `[-1, 1]`.

    Args:
        root: the folder; relative to the working directory.
        load_px: the side of a picture before the crop; `crop_px` if left out.
        crop_px: the side of a sample.
        flip: mirror left to right with probability 1/2.
        channels: 3 for RGB, 1 for grey.
        cache: `memory` reads and resizes every picture once, before the first step; `device` keeps them on the GPU.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`.
    """

    def __init__(
        self,
        root: Path,
        load_px: Pixels | None = None,
        crop_px: Pixels = 256,
        flip: bool = True,
        channels: Channels = 3,
        cache: Cache = "none",
    ) -> None:
        self.root = root.expanduser()
        self.folders = Folders(self.root, "one_folder")
        self.framing = Framing(load_px or crop_px, crop_px, flip)
        self.channels = channels
        self.cache = cache

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"real": (self.channels, self.framing.crop_px, self.framing.crop_px)}

    def _samples(self, split: str, framing: Framing) -> Samples:
        return Pictured(framing, self._squares(self.folders.layout.pictures(split), framing.load_px))

    def _squares(self, paths: Sequence[Path], size_px: int) -> Pictures:
        """The largest centred square of each picture: uint8 `[channels, size_px, size_px]`."""
        read = partial(_read_centre_square, channels=self.channels, size_px=size_px)
        return pictures(paths, read, self.cache, self.skips_bad)


class Pictured(Framed):
    """Pictures of one kind, as the field `real`."""

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {"real": self.framing.augment(self.held[0][index], rng)}

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return {"real": self.framing.batch(self.held[0], indices, rngs)}


class ClassFolders(ImageFolder):
    """A folder of pictures for each class, for models that make, or translate to, pictures of a class.

    The folders `root/<class>` are numbered in their natural order; those without pictures are none. Or they lie in
    `root/train` and, for validation, in `root/val` or else `root/test`, under the same names. Otherwise as
    `image_folder`.
    Fields: `real`, float `[channels, crop_px, crop_px]` in `[-1, 1]`; `label`, int64 `[]` in `[0, classes)`.

    Args:
        root: the folder of the classes' folders; relative to the working directory.
        classes: how many there are, so that a recipe can be checked without them.
        load_px: the side of a picture before the crop; `crop_px` if left out.
        crop_px: the side of a sample.
        flip: mirror left to right with probability 1/2.
        channels: 3 for RGB, 1 for grey.
        cache: `memory` reads and resizes every picture once, before the first step; `device` keeps them on the GPU.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`.
    """

    def __init__(
        self,
        root: Path,
        classes: Annotated[int, Field(ge=1)],
        load_px: Pixels | None = None,
        crop_px: Pixels = 256,
        flip: bool = True,
        channels: Channels = 3,
        cache: Cache = "none",
    ) -> None:
        super().__init__(root, load_px, crop_px, flip, channels, cache)
        self.classes, self.folders = classes, Folders(self.root, "classes")

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {**super().shapes(), "label": ()}

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {"label": torch.int64}

    def ranges(self) -> Mapping[str, range]:
        return {"label": range(self.classes)}

    def prepare(self) -> None:
        self._check(self.folders.look())

    def _samples(self, split: str, framing: Framing) -> Samples:
        layout = self.folders.layout
        self._check(layout)
        found = [layout.pictures(split, name) for name in layout.classes]
        labels = [label for label, paths in enumerate(found) for _ in paths]
        return _Labelled(framing, self._squares([path for paths in found for path in paths], framing.load_px), labels)

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

    def __init__(self, framing: Framing, real: Pictures, labels: list[int]) -> None:
        super().__init__(framing, real)
        self.labels = labels

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {**super().sample(index, rng), "label": torch.tensor(self.labels[index])}

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return {**super().batch(indices, rngs), "label": torch.tensor([self.labels[index] for index in indices])}
