"""Samples by their index: a module of its own, as processes that are spawned look for it by its name."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from ganforge import Samples


class Indexed(torch.utils.data.Dataset[Tensor]):
    """The field `real_a` of each sample, drawn from a generator that its index seeds."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Tensor:
        return self.samples.sample(index, random.Random(index))["real_a"]
