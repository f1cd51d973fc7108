"""The pictures on which an exported file is compared with the run: real ones where there are some."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ganforge import images
from ganforge.api.datasets import Samples
from ganforge.errors import EnvironmentFault, UsageError
from ganforge.inference.export.sizes import Size
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.directions import storage_of

COUNT = 2


@dataclass(frozen=True)
class Pictures:
    """Pictures of any size, always the same ones."""

    originals: list[Tensor]
    """Floats `[C, H, W]` in `[-1, 1]`, as many as the largest batch has."""
    origin: str
    """Where they are from, in words."""

    def batch(self, count: int, size: Size) -> Tensor:
        """`[count, C, H, W]` in `[-1, 1]`, resized."""
        resized = [_resized(self.originals[index % len(self.originals)], size) for index in range(count)]
        return torch.stack(resized)


def find_pictures(recipe: Recipe, field: str, folder: Path | None = None) -> Pictures:
    """Find pictures: those of the folder; or else validation samples, if the data is here; or else smooth random ones.

    Raises:
        UsageError: the folder has no pictures.
        EnvironmentFault: a picture cannot be read.
    """
    storage = storage_of(recipe, field)
    if folder is not None:
        files = images.list_images(folder) if folder.is_dir() else []
        if not files:
            raise UsageError(f"there are no pictures in {folder}")
        read = [images.to_float(storage.read(file)) for file in files[:COUNT]]
        return Pictures(read, f"pictures of {folder}")
    if samples := _samples(recipe, field):
        values = [samples.sample(index, random.Random(index))[field] for index in range(min(COUNT, len(samples)))]
        return Pictures([images.to_float(value).float().cpu() for value in values], "samples of the recipe's data")
    return Pictures([_smooth(storage.channels, index) for index in range(COUNT)], "smooth random pictures")


def _samples(recipe: Recipe, field: str) -> Samples | None:
    """Samples with this field, if they are here: nothing is downloaded for a comparison."""
    options = recipe.data.options
    if "download" in options:
        options = {**options, "download": None}
    try:
        dataset = recipe.data.part.factory(**options)
        dataset.prepare()
        return (dataset.validation() if field in dataset.validation_shapes() else None) or dataset.train()
    except EnvironmentFault:
        return None


def _smooth(channels: int, seed: int) -> Tensor:
    coarse = torch.randn(channels, 8, 8, generator=torch.Generator().manual_seed(seed))
    return _resized(torch.tanh(coarse), (256, 256))


def _resized(picture: Tensor, size: Size) -> Tensor:
    return F.interpolate(picture[None], size, mode="bicubic", antialias=True)[0].clamp(-1, 1)
