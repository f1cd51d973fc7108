"""A folder of pictures for each class."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from ganforge import EnvironmentFault, Sample, Samples
from ganforge.builtin.datasets.caching import Cache
from ganforge.builtin.datasets.folders import Channels, FolderDataset, Folders, Pictured, Pixels, squares
from ganforge.builtin.datasets.framing import Framing
from ganforge.builtin.datasets.layout.model import Layout


class ClassFolders(FolderDataset):
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
        self.root, self.classes = root.expanduser(), classes
        self.folders = Folders(self.root, "classes")
        self.framing = Framing(load_px or crop_px, crop_px, flip)
        self.channels = channels
        self.cache = cache

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"real": (self.channels, self.framing.crop_px, self.framing.crop_px), "label": ()}

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {"label": torch.int64}

    def ranges(self) -> Mapping[str, range]:
        return {"label": range(self.classes)}

    def prepare(self) -> None:
        self._check(self.folders.look())

    def train(self) -> Samples:
        return self._samples("train", self.framing)

    def validation(self) -> Samples | None:
        split = self.folders.validation
        return self._samples(split, self.framing.whole) if split else None

    def _samples(self, split: str, framing: Framing) -> Samples:
        layout = self.folders.layout
        self._check(layout)
        found = [layout.pictures(split, name) for name in layout.classes]
        labels = [label for label, paths in enumerate(found) for _ in paths]
        paths = [path for paths in found for path in paths]
        held = squares(paths, self.channels, framing.load_px, self.cache, self.skips_bad)
        return _Labelled(Pictured(held, framing), labels)

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
