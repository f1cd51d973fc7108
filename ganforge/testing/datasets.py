"""Does a dataset keep what the engine relies on?"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganforge.parts import Dataset, Sample, Samples
from ganforge.testing.checking import CheckFailed, checked_options, run_checks, signature_of


def check_dataset(dataset: Callable[..., Dataset], *, skip: tuple[str, ...] = (), **options: Any) -> None:
    """Check a dataset as the engine uses it; its data must be on this machine.

    | check | what must hold |
    |---|---|
    | `shapes` | samples have the fields, shapes and types that `shapes()` and `dtypes()` say |
    | `range` | images, `[1 or 3, H, W]`, are in `[-1, 1]` |
    | `repeat` | a sample depends on its index and the `rng` it is handed, and on nothing else |

    Args:
        dataset: a subclass of `ganforge.Dataset`, as it would be registered.
        skip: names of checks that do not apply.
        options: of the constructor.

    Raises:
        CheckFailed: with the check, what is wrong, and what to do.
        ValueError: `skip` names no check.
    """
    case = _Case(dataset(**checked_options(dataset, signature_of("datasets", dataset), options)))
    checks: dict[str, Callable[[], None]] = {
        "shapes": case.check_shapes,
        "range": case.check_range,
        "repeat": case.check_repeat,
    }
    run_checks(dataset, checks, skip)


class _Case:
    """A dataset and its splits."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        dataset.prepare()
        self.splits: dict[str, tuple[Samples, Mapping[str, tuple[int, ...]]]] = {
            "training": (dataset.train(), dataset.shapes())
        }
        if (validation := dataset.validation()) is not None:
            self.splits["validation"] = (validation, dataset.validation_shapes())

    def check_shapes(self) -> None:
        dtypes = self.dataset.dtypes()
        for split, (samples, shapes) in self.splits.items():
            if not len(samples):
                raise CheckFailed(f"there are no {split} samples")
            sample = samples.sample(len(samples) - 1, random.Random(0))
            if set(sample) != set(shapes):
                raise CheckFailed(f"a {split} sample has the fields {sorted(sample)}, shapes() says {sorted(shapes)}")
            for field, shape in shapes.items():
                value = sample[field]
                if tuple(value.shape) != tuple(shape):
                    what = f"'{field}' of a {split} sample"
                    raise CheckFailed(f"{what} is {list(value.shape)}, shapes() says {list(shape)}")
                expected = dtypes.get(field, torch.float32)
                if value.dtype != expected:
                    raise CheckFailed(f"'{field}' is {value.dtype}, not {expected}: say so in dtypes(), or convert it")

    def check_range(self) -> None:
        for samples, _ in self.splits.values():
            for field, value in samples.sample(0, random.Random(0)).items():
                if value.ndim == 3 and len(value) in (1, 3) and float(value.abs().max()) > 1:
                    raise CheckFailed(f"'{field}' leaves [-1, 1]: ganforge.images.to_float maps uint8 to it")

    def check_repeat(self) -> None:
        for samples, _ in self.splits.values():
            first = samples.sample(0, random.Random(1))
            torch.manual_seed(5)
            random.seed(5)
            if not _equal(first, samples.sample(0, random.Random(1))):
                raise CheckFailed("one rng gives two samples: draw all randomness from the rng of the call")


def _equal(ours: Sample, theirs: Sample) -> bool:
    return all(torch.equal(value, theirs[field]) for field, value in ours.items())


def random_batch(dataset: Dataset, size: int, generator: torch.Generator, classes: int = 2) -> dict[str, Tensor]:
    """A batch of noise with the dataset's fields: floats in `[-1, 1]`, whole numbers in `[0, classes)`."""
    dtypes = dataset.dtypes()
    return {
        field: torch.rand(size, *shape, generator=generator, dtype=torch.float64) * 2 - 1
        if dtypes.get(field, torch.float32).is_floating_point
        else torch.randint(classes, (size, *shape), generator=generator, dtype=dtypes[field])
        for field, shape in dataset.shapes().items()
    }
