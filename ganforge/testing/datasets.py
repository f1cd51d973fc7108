"""Does a dataset keep what the engine relies on?"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ganforge.api.datasets import Dataset, Sample, Samples
from ganforge.rehearsal.random_data import random_fields
from ganforge.rehearsal.sample_checks import Look, Promise, faults, promise
from ganforge.testing.checking import CheckFailed, checked_options, name_of, run_checks, signature_of

LOOKED_AT = 8
"""Samples of a split whose values are looked at."""


def check_dataset(dataset: Callable[..., Dataset], *, skip: tuple[str, ...] = (), **options: Any) -> None:
    """Check a dataset as the engine uses it; its data must be on this machine.

    | check | what must hold |
    |---|---|
    | `shapes` | samples have the fields, shapes and types that `shapes()` and `dtypes()` say; images may be uint8 |
    | `range` | float images, `[1 or 3, H, W]`, are in `[-1, 1]`; floats are finite, labels in `ranges()` |
    | `repeat` | a sample depends on its index and the `rng` it is handed, and on nothing else |
    | `batch` | `batch` gives what `sample` gives one by one |
    | `black` | black is -1, or 0 of uint8: floats in 0..1, and bytes that are all dark, are suspicious |

    Args:
        dataset: a subclass of `ganforge.Dataset`, as it would be registered.
        skip: names of checks that do not apply.
        options: of the constructor.

    Raises:
        CheckFailed: with the check, what is wrong, and what to do.
        ValueError: `skip` names no check.
    """
    made = dataset(**checked_options(dataset, signature_of("datasets", dataset), options))
    run_checks(dataset, _Case(made, name_of(dataset)), skip)


class _Case:
    """A dataset and its splits."""

    def __init__(self, dataset: Dataset, name: str) -> None:
        dataset.prepare()
        self.splits: dict[Promise, Samples] = {promise(dataset, name): dataset.train()}
        if (validation := dataset.validation()) is not None:
            self.splits[promise(dataset, name, validation=True)] = validation

    def check_shapes(self) -> None:
        for said, samples in self.splits.items():
            if not len(samples):
                raise CheckFailed(f"there are no {said.split} samples")
            self._hold(said, samples, [len(samples) - 1], values=False)

    def check_range(self) -> None:
        for said, samples in self.splits.items():
            self._hold(said, samples, range(min(LOOKED_AT, len(samples))), values=True)

    def _hold(self, said: Promise, samples: Samples, indices: Sequence[int], values: bool) -> None:
        """Samples against what the dataset says, of their values or of all else."""
        if of_all := said.contradiction():
            raise CheckFailed(": ".join(of_all))
        for index in indices:
            for fault in faults(samples.sample(index, random.Random(0)), said):
                if fault.of_values == values:
                    raise CheckFailed(f"{fault.text(f'a {said.split} sample')}: {fault.cure}")

    def check_repeat(self) -> None:
        for samples in self.splits.values():
            first = samples.sample(0, random.Random(1))
            torch.manual_seed(5)
            random.seed(5)
            if not _equal(first, samples.sample(0, random.Random(1))):
                raise CheckFailed("one rng gives two samples: draw all randomness from the rng of the call")

    def check_batch(self) -> None:
        for said, samples in self.splits.items():
            indices = [0, len(samples) - 1, 0]
            ours = samples.batch(indices, [random.Random(seed) for seed in range(3)])
            theirs = Samples.batch(samples, indices, [random.Random(seed) for seed in range(3)])
            if not _equal(ours, theirs):
                raise CheckFailed(f"batch() of the {said.split} samples gives other values than sample(), one by one")

    def check_black(self) -> None:
        for said, samples in self.splits.items():
            look = Look(said)
            for index in range(min(LOOKED_AT, len(samples))):
                look.add(samples.sample(index, random.Random(0)))
            if suspicions := look.suspicions():
                raise CheckFailed(suspicions[0])


def _equal(ours: Sample, theirs: Sample) -> bool:
    return ours.keys() == theirs.keys() and all(
        value.dtype == theirs[field].dtype and torch.equal(value, theirs[field]) for field, value in ours.items()
    )


def random_batch(dataset: Dataset, size: int, generator: torch.Generator, classes: int = 2) -> dict[str, Tensor]:
    """A batch of noise with the dataset's fields: floats in `[-1, 1]`, whole numbers in `[0, classes)`."""
    return random_fields(dataset.shapes(), dataset.dtypes(), size, generator, torch.float64, classes)
