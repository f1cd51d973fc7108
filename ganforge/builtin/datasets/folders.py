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

Pixels = Annotated[int, Field(ge=1)]
Channels = Literal[1, 3]


def existing_images(folder: Path, what: str) -> list[Path]:
    """The pictures of a folder that must have some; `what` says what they are.

    Raises:
        EnvironmentFault: there is no such folder, or no picture in it.
    """
    found = images.list_images(folder)
    if found:
        return found
    fault = "no pictures in it" if folder.is_dir() else "no such folder"
    raise EnvironmentFault(f"{folder}: {fault}; it should hold {what} ({', '.join(sorted(images.SUFFIXES))})")


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


class ImageFolder(Dataset):
    """All the pictures below one folder, for models that make pictures from noise.

    The largest centred square of a picture is resized to `load_px`; a random crop of `crop_px` is taken from it.
    Fields: `real`, float `[channels, crop_px, crop_px]` in `[-1, 1]`. There are no validation samples.

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

    resizer = images.RESIZER

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
        self.framing = Framing(load_px or crop_px, crop_px, flip)
        self.channels = channels
        self.cache = cache

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"real": (self.channels, self.framing.crop_px, self.framing.crop_px)}

    def prepare(self) -> None:
        self.files()

    def files(self) -> Sequence[Path]:
        return existing_images(self.root, "the pictures to learn from")

    def train(self) -> Samples:
        read = partial(read_centre_square, channels=self.channels, size_px=self.framing.load_px)
        return Pictured(pictures(self.files(), read, self.cache), self.framing)


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
