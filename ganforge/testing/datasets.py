"""Does a dataset keep what the engine relies on?"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganforge.engine.random_data import random_fields
from ganforge.parts import Dataset, Sample, Samples
from ganforge.testing.checking import CheckFailed, checked_options, run_checks, signature_of


def check_dataset(dataset: Callable[..., Dataset], *, skip: tuple[str, ...] = (), **options: Any) -> None:
    """Check a dataset as the engine uses it; its data must be on this machine.

    | check | what must hold |
    |---|---|
    | `shapes` | samples have the fields, shapes and types that `shapes()` and `dtypes()` say; images may be uint8 |
    | `range` | float images, `[1 or 3, H, W]`, are in `[-1, 1]` |
    | `repeat` | a sample depends on its index and the `rng` it is handed, and on nothing else |
    | `batch` | `batch` gives what `sample` gives one by one |

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
        "batch": case.check_batch,
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
        if pictures := [field for field, dtype in dtypes.items() if dtype == torch.uint8]:
            raise CheckFailed(
                f"dtypes() says that '{pictures[0]}' is uint8, which the engine takes for a picture: "
                "leave it out if it is one, use torch.int64 for numbers"
            )
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
                fits = (dtypes[field],) if field in dtypes else (torch.float32, torch.uint8)
                if value.dtype not in fits:
                    raise CheckFailed(f"'{field}' is {value.dtype}, not {fits[0]}: say so in dtypes(), or convert it")

    def check_range(self) -> None:
        for samples, _ in self.splits.values():
            for field, value in samples.sample(0, random.Random(0)).items():
                floats = value.is_floating_point()
                if floats and value.ndim == 3 and len(value) in (1, 3) and float(value.abs().max()) > 1:
                    raise CheckFailed(f"'{field}' leaves [-1, 1]: ganforge.images.to_float maps uint8 to it")

    def check_repeat(self) -> None:
        for samples, _ in self.splits.values():
            first = samples.sample(0, random.Random(1))
            torch.manual_seed(5)
            random.seed(5)
            if not _equal(first, samples.sample(0, random.Random(1))):
                raise CheckFailed("one rng gives two samples: draw all randomness from the rng of the call")

    def check_batch(self) -> None:
        for split, (samples, _) in self.splits.items():
            indices = [0, len(samples) - 1, 0]
            ours = samples.batch(indices, [random.Random(seed) for seed in range(3)])
            theirs = Samples.batch(samples, indices, [random.Random(seed) for seed in range(3)])
            if not _equal(ours, theirs):
                raise CheckFailed(f"batch() of the {split} samples gives other values than sample(), one by one")


def _equal(ours: Sample, theirs: Sample) -> bool:
    return ours.keys() == theirs.keys() and all(
        value.dtype == theirs[field].dtype and torch.equal(value, theirs[field]) for field, value in ours.items()
    )


def random_batch(dataset: Dataset, size: int, generator: torch.Generator, classes: int = 2) -> dict[str, Tensor]:
    """A batch of noise with the dataset's fields: floats in `[-1, 1]`, whole numbers in `[0, classes)`."""
    return random_fields(dataset.shapes(), dataset.dtypes(), size, generator, torch.float64, classes)
