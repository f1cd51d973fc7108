"""A toy translation made in memory: brown discs become white ones with a dark rim, and the truth is known."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganforge import Dataset, Sample, Samples

# A narrow palette, and a change that the neighbourhood tells: a small CycleGAN learns this on a CPU. Instance norm
# erases absolute colour, so grounds of any colour, or stripes of an ambiguous phase, it could not learn.
_GRASS = (0.36, 0.52, 0.26)
_BROWN, _WHITE, _RIM = (0.50, 0.31, 0.17), (0.90, 0.89, 0.85), (0.16, 0.14, 0.15)
_RIM_WIDTH = 0.045  # of the picture's side, as the radii
_RADII = (0.13, 0.24)
_TRIES = 20


class Shapes(Dataset):
    """Discs on grass, in two unpaired domains: plain brown in A; white with a dark rim in B.

    Made for trying things out: a small CycleGAN learns it on a CPU in minutes, and validation samples carry the true
    translations. Pictures depend on their index alone, not on the run's seed.
    Fields: `real_a`, `real_b` and, in validation samples, `true_b` (`real_a` translated) and `true_a` (`real_b`
    translated); float `[3, size_px, size_px]` in `[-1, 1]`.

    Args:
        size_px: the side of a picture.
        count: training pictures in each domain.
        validation: validation samples.
    """

    def __init__(
        self,
        size_px: Annotated[int, Field(ge=8)] = 64,
        count: Annotated[int, Field(ge=1)] = 512,
        validation: Annotated[int, Field(ge=1)] = 32,
    ) -> None:
        self.size_px, self.count, self.validation_count = size_px, count, validation

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return dict.fromkeys(("real_a", "real_b"), (3, self.size_px, self.size_px))

    def validation_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return dict.fromkeys(("real_a", "real_b", "true_a", "true_b"), (3, self.size_px, self.size_px))

    def truths(self) -> Mapping[str, str]:
        return {"real_a": "true_b", "real_b": "true_a"}

    def known_length(self) -> int:
        return self.count

    def train(self) -> Samples:
        a, b = (self._scenes(f"train {domain}", self.count) for domain in "ab")
        return _Training(torch.stack([in_a for in_a, _ in a]), torch.stack([in_b for _, in_b in b]))

    def validation(self) -> Samples:
        a, b = (self._scenes(f"validation {domain}", self.validation_count) for domain in "ab")
        return _Validation(a, b)

    def _scenes(self, name: str, count: int) -> list[tuple[Tensor, Tensor]]:
        return [draw_scene(random.Random(f"{name} {index}"), self.size_px) for index in range(count)]


class _Training(Samples):
    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b

    def __len__(self) -> int:
        return len(self.a)

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {"real_a": self.a[index], "real_b": self.b[rng.randrange(len(self.b))]}


class _Validation(Samples):
    def __init__(self, a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> None:
        self.a, self.b = a, b

    def __len__(self) -> int:
        return len(self.a)

    def sample(self, index: int, rng: random.Random) -> Sample:
        (real_a, true_b), (true_a, real_b) = self.a[index], self.b[index]
        return {"real_a": real_a, "real_b": real_b, "true_a": true_a, "true_b": true_b}


@dataclass(frozen=True)
class Disc:
    """A disc in units of the picture's side."""

    x: float
    y: float
    radius: float

    def meets(self, other: Disc) -> bool:
        """Whether two discs overlap, or nearly touch."""
        return (self.x - other.x) ** 2 + (self.y - other.y) ** 2 < (self.radius + other.radius + 0.03) ** 2


def draw_scene(rng: random.Random, size_px: int) -> tuple[Tensor, Tensor]:
    """One scene in domain A and in domain B: two uint8 `[3, size_px, size_px]`."""
    discs = _place_discs(rng)
    ground = _grass(rng, size_px)
    # Everything carries the ground's texture: what is perfectly flat gives a fake away, and training goes after that.
    tone = (ground - _colour(_GRASS)).mean(0, keepdim=True)
    brown, white, rim = (_colour(c) + tone for c in (_BROWN, _WHITE, _RIM))
    in_a, in_b = ground, ground
    for disc in discs:
        inside = _coverage(disc, size_px)
        core = _coverage(Disc(disc.x, disc.y, disc.radius - _RIM_WIDTH), size_px)
        in_a = torch.lerp(in_a, brown, inside)
        in_b = torch.lerp(torch.lerp(in_b, rim, inside), white, core)
    return _quantised(in_a), _quantised(in_b)


def _place_discs(rng: random.Random) -> list[Disc]:
    discs: list[Disc] = []
    wanted = rng.randint(1, 3)
    for _ in range(_TRIES):
        radius = rng.uniform(*_RADII)
        disc = Disc(rng.uniform(radius, 1 - radius), rng.uniform(radius, 1 - radius), radius)
        if len(discs) < wanted and not any(disc.meets(other) for other in discs):
            discs.append(disc)
    return discs


def _grass(rng: random.Random, size_px: int) -> Tensor:
    """Float `[3, size_px, size_px]`: soft patches of a few greens, and a fine grain."""
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    tone = torch.zeros(1, 1, size_px, size_px)
    for cells, amplitude in ((4, 0.022), (10, 0.016), (28, 0.02)):
        noise = torch.randn(1, 1, cells, cells, generator=generator)
        tone += amplitude * F.interpolate(noise, (size_px, size_px), mode="bicubic")
    warmth = _colour((1.3, 1.0, 0.7))  # dry patches are lighter and yellower
    return _colour(_GRASS) + warmth * tone[0]


def _coverage(disc: Disc, size_px: int) -> Tensor:
    """How much of each pixel the disc covers, in [0, 1]: its edge is a ramp of one pixel."""
    centres = (torch.arange(size_px) + 0.5) / size_px
    distance = torch.hypot(centres[None, :] - disc.x, centres[:, None] - disc.y) - disc.radius
    return (0.5 - distance * size_px).clamp(0, 1)


def _colour(rgb: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rgb).view(3, 1, 1)


def _quantised(image: Tensor) -> Tensor:
    return image.mul(255).round().clamp(0, 255).to(torch.uint8)
