"""Random samples of the shapes of a recipe's data, for machines and tests that lack the data."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from ganforge.api.datasets import Dataset, Sample, Samples

DIFFERENT = 8
"""Samples that are made; a larger set repeats them."""

Shapes = Mapping[str, tuple[int, ...]]
Types = Mapping[str, torch.dtype]
Ranges = Mapping[str, range]


class RandomData(Dataset):
    """Stands in for a dataset: the same fields, shapes and types, and no file is read.

    Floats are random in `[-1, 1]`; integers are in the dataset's ranges, or 0 and 1 where it says none.
    """

    def __init__(self, original: Dataset, count: int) -> None:
        self.original, self.count = original, count

    def shapes(self) -> Shapes:
        return self.original.shapes()

    def dtypes(self) -> Types:
        return self.original.dtypes()

    def ranges(self) -> Ranges:
        return self.original.ranges()

    def groups(self) -> Sequence[Sequence[str]]:
        return self.original.groups()

    def validation_shapes(self) -> Shapes:
        return self.original.validation_shapes()

    def train(self) -> Samples:
        return _Samples(self.shapes(), self, self.count, seed=0)

    def validation(self) -> Samples:
        return _Samples(self.validation_shapes(), self, self.count, seed=1)


class _Samples(Samples):
    """Made once: to make them anew would take time that is no data's."""

    def __init__(self, shapes: Shapes, dataset: Dataset, count: int, seed: int) -> None:
        self.count = count
        generator = torch.Generator().manual_seed(seed)
        size = min(count, DIFFERENT)
        self.made = random_fields(shapes, dataset.dtypes(), size, generator, torch.float32, ranges=dataset.ranges())

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {name: values[index % DIFFERENT] for name, values in self.made.items()}


def random_fields(
    shapes: Shapes,
    dtypes: Types,
    size: int,
    generator: torch.Generator,
    floats: torch.dtype,
    classes: int = 2,
    ranges: Ranges = MappingProxyType({}),
) -> dict[str, Tensor]:
    """A batch of noise: floats in `[-1, 1]`, drawn in float64 and given as `floats`; integers in their ranges, or in
    `[0, classes)`."""

    def ends(name: str) -> tuple[int, int]:
        known = ranges.get(name, range(classes))
        return min(known), max(known) + 1

    return {
        name: torch.randint(*ends(name), (size, *shape), generator=generator, dtype=dtypes[name])
        if name in dtypes and not dtypes[name].is_floating_point
        else (torch.rand(size, *shape, generator=generator, dtype=torch.float64) * 2 - 1).to(floats)
        for name, shape in shapes.items()
    }
