"""Datasets: where the batch fields of a recipe come from."""

import random
from collections.abc import Mapping
from typing import Annotated

import torch
from ganforge import Dataset, Sample, Samples
from pydantic import Field


class Stripes(Dataset):
    """Stripes in two unpaired domains: upright ones in A, lying ones in B.

    Fields: `real_a` and `real_b`, float `[3, size_px, size_px]` in `[-1, 1]`.

    Args:
        size_px: the side of an image.
        count: training images in each domain.
    """

    def __init__(self, size_px: Annotated[int, Field(ge=8)] = 32, count: Annotated[int, Field(ge=1)] = 256) -> None:
        self.size_px, self.count = size_px, count

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return dict.fromkeys(("real_a", "real_b"), (3, self.size_px, self.size_px))

    def train(self) -> Samples:
        return _Striped(self.size_px, self.count)

    def validation(self) -> Samples:
        return _Striped(self.size_px, 16)


class _Striped(Samples):
    def __init__(self, size_px: int, count: int) -> None:
        self.size_px, self.count = size_px, count

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, rng: random.Random) -> Sample:
        """All randomness comes from `rng`: then neither workers nor a resume change what is trained on."""
        upright, lying = (self._wave(rng).expand(3, self.size_px, self.size_px) for _ in range(2))
        return {"real_a": upright.clone(), "real_b": lying.transpose(1, 2).clone()}

    def _wave(self, rng: random.Random) -> torch.Tensor:
        width_px, phase = rng.uniform(2, 6), rng.uniform(0, 6.3)
        return torch.sin(torch.arange(self.size_px) / width_px * 3.14 + phase)
