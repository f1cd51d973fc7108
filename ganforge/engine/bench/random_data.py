"""Random batches of the shapes of a recipe's data, for machines that lack the data."""

from __future__ import annotations

import random
from collections.abc import Mapping

import torch

from ganforge.parts import Dataset, Sample, Samples


class RandomData(Dataset):
    """Stands in for a dataset: the same fields, shapes and types, and no file is read.

    Floats are random in `[-1, 1]`. Integers are 0: how large a label may be, no dataset says.
    """

    def __init__(self, original: Dataset, count: int) -> None:
        self.original, self.count = original, count

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self.original.shapes()

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return self.original.dtypes()

    def validation_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self.original.validation_shapes()

    def train(self) -> Samples:
        return _Samples(self.shapes(), self.dtypes(), self.count)

    def validation(self) -> Samples:
        return _Samples(self.validation_shapes(), self.dtypes(), self.count)


class _Samples(Samples):
    """One sample, so many times: to make it anew would take time that is no data's."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, torch.dtype], count: int) -> None:
        self.count = count
        self.made = {
            name: torch.zeros(shape, dtype=dtypes[name]) if name in dtypes else torch.rand(shape) * 2 - 1
            for name, shape in shapes.items()
        }

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, rng: random.Random) -> Sample:
        return self.made
