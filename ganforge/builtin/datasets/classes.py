"""A folder of pictures for each class."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from ganforge import Dataset, EnvironmentFault, Sample, Samples, images
from ganforge.builtin.datasets.caching import Cache, pictures
from ganforge.builtin.datasets.folders import Channels, Pictured, Pixels, existing_images, read_centre_square
from ganforge.builtin.datasets.framing import Framing


class ClassFolders(Dataset):
    """A folder of pictures for each class, for models that make, or translate to, pictures of a class.

    The folders `root/<class>` are numbered in their natural order; otherwise as `image_folder`.
    Fields: `real`, float `[channels, crop_px, crop_px]` in `[-1, 1]`; `label`, int64 `[]` in `[0, classes)`.
    There are no validation samples.

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

    resizer = images.RESIZER

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
        self.root, self.classes = root.expanduser(), classes
        self.framing = Framing(load_px or crop_px, crop_px, flip)
        self.channels = channels
        self.cache = cache

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"real": (self.channels, self.framing.crop_px, self.framing.crop_px), "label": ()}

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {"label": torch.int64}

    def prepare(self) -> None:
        self._folders()

    def files(self) -> Sequence[Path]:
        return [path for paths in self._found() for path in paths]

    def train(self) -> Samples:
        found = self._found()
        labels = [label for label, paths in enumerate(found) for _ in paths]
        read = partial(read_centre_square, channels=self.channels, size_px=self.framing.load_px)
        paths = [path for paths in found for path in paths]
        return _Labelled(Pictured(pictures(paths, read, self.cache), self.framing), labels)

    def _found(self) -> list[list[Path]]:
        """The pictures of each class."""
        return [images.list_images(folder) for folder in self._folders()]

    def _folders(self) -> list[Path]:
        folders = sorted((path for path in self.root.glob("[!.]*") if path.is_dir()), key=images.natural_order)
        if len(folders) != self.classes:
            named = ", ".join(folder.name for folder in folders[:5]) + ", ..." * (len(folders) > 5)
            raise EnvironmentFault(
                f"{self.root} should have {self.classes} folders, one a class, and has {len(folders)}"
                f"{f': {named}' if named else ''}\n  correct `root` (now {self.root.resolve()}) or `classes`"
            )
        for folder in folders:
            existing_images(folder, f"the pictures of the class {folder.name}")
        return folders


class _Labelled(Samples):
    """Pictures with the number of their class."""

    def __init__(self, real: Samples, labels: list[int]) -> None:
        self.real, self.labels = real, labels
        self.in_workers = real.in_workers

    def __len__(self) -> int:
        return len(self.real)

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {**self.real.sample(index, rng), "label": torch.tensor(self.labels[index])}

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return {**self.real.batch(indices, rngs), "label": torch.tensor([self.labels[index] for index in indices])}
