"""Pictures of a soft bright spot, whose place is a point of the `ring`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import Dataset, Sample, Samples
from ganforge_classics.ring import MODES, Number, draw_point

WIDTH = 0.25  # the standard deviation of a spot's brightness, in half sides of the picture


class Spots(Dataset):
    """Grey pictures of one soft bright spot on black, centred on a point of `ring`.

    Coordinates run from -1 to 1 over the picture, x to the right and y down; the spot is a Gaussian of standard
    deviation 0.25. `centroid` finds its centre, so that the metric `ring` judges generated pictures too. Training
    pictures are drawn anew each time.
    Fields: `real`, float `[1, size_px, size_px]` in `[-1, 1]`; `label`, the number of its mode, int64 `[]` in `[0, 8)`.

    Args:
        size_px: the side of a picture.
        count: training pictures in an epoch.
        validation: validation samples: as many pictures are generated for metrics.
    """

    def __init__(
        self,
        size_px: Annotated[int, Field(ge=8)] = 32,
        count: Number = 10_000,
        validation: Number = 2_000,
    ) -> None:
        self.size_px, self.count, self.validation_count = size_px, count, validation

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"real": (1, self.size_px, self.size_px), "label": ()}

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {"label": torch.int64}

    def ranges(self) -> Mapping[str, range]:
        return {"label": range(MODES)}

    def known_length(self) -> int:
        return self.count

    def train(self) -> Samples:
        return _Pictures(self.count, self.size_px)

    def validation(self) -> Samples:
        return _Pictures(self.validation_count, self.size_px)


class _Pictures(Samples):
    def __init__(self, count: int, size_px: int) -> None:
        self.count, self.size_px = count, size_px

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, rng: random.Random) -> Sample:
        x, y, label = draw_point(rng)
        centre = torch.tensor(((x, y),))
        return {"real": draw_spots(centre, self.size_px)[0], "label": torch.tensor(label)}


def draw_spots(centres: Tensor, size_px: int) -> Tensor:
    """Pictures `[N, 1, size_px, size_px]` in `[-1, 1]` of spots at `[N, 2]`."""
    ticks = _ticks(size_px, centres)
    columns, rows = (torch.exp((ticks - at[:, None]).square() / (-2 * WIDTH**2)) for at in centres.unbind(1))
    return 2 * rows[:, None, :, None] * columns[:, None, None, :] - 1


def centroid(images: Tensor) -> Tensor:
    """Where the light of pictures is: the mean place `[N, 2]`, x and y from -1 to 1, of its pixels.

    A pixel weighs as the square of its brightness: a faint ground, spread over many pixels, would pull the centre away.

    Args:
        images: `[N, C, H, W]` in `[-1, 1]`, -1 being black; channels are averaged.
    """
    weights_NHW = ((images.mean(1) + 1) / 2).square()
    total = weights_NHW.sum((1, 2)).clamp_min(1e-12)
    x = (weights_NHW.sum(1) * _ticks(images.shape[3], images)).sum(1) / total
    y = (weights_NHW.sum(2) * _ticks(images.shape[2], images)).sum(1) / total
    return torch.stack((x, y), dim=1)


def spot_error(images: Tensor) -> Tensor:
    """How far pictures are from a perfect spot at their own `centroid`: 0 is a spot, 1 a black picture.

    The sum of absolute differences, in units of the light of one spot, averaged over pictures `[N, 1, size, size]`.
    """
    perfect = draw_spots(centroid(images), images.shape[2])
    light = (perfect + 1).sum((1, 2, 3))
    return ((images - perfect).abs().sum((1, 2, 3)) / light).mean()


def _ticks(size_px: int, like: Tensor) -> Tensor:
    """The places of the pixels' centres along a side, from -1 to 1."""
    return (torch.arange(size_px, device=like.device, dtype=like.dtype) + 0.5) * (2 / size_px) - 1
