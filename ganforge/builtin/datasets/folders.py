"""Folders of pictures: finding what is in them, and the dataset of a single one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ganforge import Dataset, EnvironmentFault, Sample, Samples, images
from ganforge.builtin.datasets.caching import Cache, Pictures, in_workers, pictures
from ganforge.builtin.datasets.framing import Framing
from ganforge.builtin.datasets.layout.model import Kind, Layout
from ganforge.builtin.datasets.layout.reading import read_layout

Pixels = Annotated[int, Field(ge=1)]
Channels = Literal[1, 3]


class Folders:
    """The folders of a dataset: looked at when they are first needed, and anew by `prepare`."""

    def __init__(self, root: Path, kind: Kind) -> None:
        self.root, self.kind = root, kind
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """What there is, which can be trained on.

        Raises:
            EnvironmentFault: something is missing, or could be read in two ways.
        """
        if self._layout is None:
            layout = read_layout(self.root, self.kind)
            if layout.faults:
                raise EnvironmentFault(str(layout.faults[0]))
            self._layout = layout
        return self._layout

    def look(self) -> Layout:
        """Read the folders anew, and give the layout that they have now."""
        self._layout = None
        return self.layout

    def pictures(self, split: str, domain: str = "") -> list[Path]:
        """The pictures of a split, and of a domain or class of it."""
        return self.layout.pictures(split, domain)

    @property
    def files(self) -> list[Path]:
        """The pictures of training and validation."""
        return [path for folder in self.layout.read for path in folder.found.pictures]

    @property
    def validation(self) -> str | None:
        """The split that training is validated on; None if there is none."""
        return self.layout.validation


def cure_by_download(root: Path, name: str) -> str:
    """How to get pictures, for instance those of the benchmark `name`, into `root`."""
    return (
        f"put your pictures there, correct `root` (now {root.resolve()}), or fetch a published benchmark: "
        f"`download: {name}` in the recipe, or `ganforge data download {name}`"
    )


def read_square(path: Path, channels: int, size_px: int) -> Tensor:
    """uint8 `[channels, size_px, size_px]`: the whole picture, squeezed if it is no square."""
    return images.resize(images.read_image(path, channels), size_px, size_px)


def read_centre_square(path: Path, channels: int, size_px: int) -> Tensor:
    """uint8 `[channels, size_px, size_px]`: the largest centred square of the picture."""
    return images.resize(images.centre_square(images.read_image(path, channels)), size_px, size_px)


class FolderDataset(Dataset):
    """What datasets of folders have in common, whatever the pictures are to each other."""

    resizer = images.RESIZER
    folders: Folders

    def remarks(self) -> Sequence[str]:
        return self.folders.layout.remarks()

    def files(self) -> Sequence[Path]:
        return self.folders.files


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

    def prepare(self) -> None:
        self.folders.look()

    def train(self) -> Samples:
        paths = self.folders.pictures("train")
        return Pictured(squares(paths, self.channels, self.framing.load_px, self.cache, self.skips_bad), self.framing)

    def validation(self) -> Samples | None:
        if self.folders.validation is None:
            return None
        paths, whole = self.folders.pictures(self.folders.validation), self.framing.whole
        return Pictured(squares(paths, self.channels, whole.load_px, self.cache, self.skips_bad), whole)


def squares(paths: Sequence[Path], channels: int, size_px: int, cache: Cache, skips_bad: bool) -> Pictures:
    """The largest centred square of each picture: uint8 `[channels, size_px, size_px]`."""
    return pictures(paths, partial(read_centre_square, channels=channels, size_px=size_px), cache, skips_bad)


class Pictured(Samples):
    """Pictures of one kind, as the field `real`."""

    def __init__(self, real: Pictures, framing: Framing) -> None:
        self.real, self.framing = real, framing
        self.in_workers = in_workers(real)

    def __len__(self) -> int:
        return len(self.real)

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {"real": self.framing.augment(self.real[index], rng)}

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return {"real": self.framing.batch(self.real, indices, rngs)}
