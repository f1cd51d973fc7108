"""Eight Gaussians on a circle: a distribution that is known, so that what a generator learnt of it can be measured."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import Dataset, Sample, Samples

MODES = 8
RADIUS = 0.5
STD = 0.03  # a thirteenth of the way from one mode to the next

Number = Annotated[int, Field(ge=1)]


class Ring(Dataset):
    """Points around 8 places on a circle, for generators that a CPU trains in a minute or two.

    The places lie at `0.5 * (cos, sin)` of the multiples of 45 degrees; a point is one of them, each as likely, plus a
    Gaussian of standard deviation 0.03 in both coordinates. Training points are drawn anew each time. The toy of
    Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, at another scale.
    Fields: `real`, float `[2]`; `label`, the number of its place, int64 `[]` in `[0, 8)`.

    Args:
        count: training points in an epoch.
        validation: validation samples: as many points are generated for metrics.
    """

    def __init__(self, count: Number = 10_000, validation: Number = 2_000) -> None:
        self.count, self.validation_count = count, validation

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"real": (2,), "label": ()}

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {"label": torch.int64}

    def ranges(self) -> Mapping[str, range]:
        return {"label": range(MODES)}

    def known_length(self) -> int:
        return self.count

    def train(self) -> Samples:
        return _Points(self.count)

    def validation(self) -> Samples:
        return _Points(self.validation_count)


class _Points(Samples):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, rng: random.Random) -> Sample:
        x, y, label = draw_point(rng)
        return {"real": torch.tensor((x, y)), "label": torch.tensor(label)}


def draw_point(rng: random.Random) -> tuple[float, float, int]:
    """One point: x, y and the number of its mode."""
    label = rng.randrange(MODES)
    angle = math.tau * label / MODES
    return RADIUS * math.cos(angle) + rng.gauss(0, STD), RADIUS * math.sin(angle) + rng.gauss(0, STD), label


def modes() -> Tensor:
    """The places of the modes by their number, float64 `[8, 2]`."""
    angles = math.tau * torch.arange(MODES, dtype=torch.float64) / MODES
    return RADIUS * torch.stack((angles.cos(), angles.sin()), dim=1)


def draw_points(count: int, generator: torch.Generator) -> Tensor:
    """Many points at once, float64 `[count, 2]`."""
    places = modes()[torch.randint(MODES, (count,), generator=generator)]
    return places + STD * torch.randn(count, 2, generator=generator, dtype=torch.float64)
