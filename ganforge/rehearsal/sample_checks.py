"""Whether samples are what their dataset says: looked at as a run begins, by `check --data`, and by tests."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from ganforge.api.datasets import Dataset, Sample, Samples, is_picture
from ganforge.core.randomness import derive_seed
from ganforge.errors import Mark, Problem, UsageError
from ganforge.recipe.model import Recipe
from ganforge.step.batch import PICTURES

BATCHES = 4
"""How many batches a run looks at."""
FIRST = 16
"""How many samples `check --data` looks at."""
TOLERANCE = 0.01  # of a picture's range: rounding in few bits
_DARK = 31  # of 255: what is never brighter is black to the eye
_BLACK, _WHITE = 0.1, 0.5  # in pictures of 0 to 1, the darkest is below and the brightest above


@dataclass(frozen=True)
class Fault:
    """What is wrong with a field of a sample."""

    field: str
    """The field's name; empty where the sample as a whole is wrong."""
    message: str
    cure: str
    of_values: bool = False

    def text(self, sample: str) -> str:
        """`'real' of training sample 5 holds NaN`."""
        return f"'{self.field}' of {sample} {self.message}" if self.field else f"{sample} {self.message}"


@dataclass(frozen=True, eq=False)
class Promise:
    """What a dataset says of the samples of a split."""

    dataset: str
    """The name of the part."""
    split: str
    """`training` or `validation`."""
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    ranges: Mapping[str, range]
    mark: Mark | None = None

    def is_picture(self, name: str) -> bool:
        """Whether a field is taken for one."""
        return is_picture(name, self.shapes, self.dtypes)

    def contradiction(self) -> tuple[str, str] | None:
        """What the dataset promises that cannot be, with the cure."""
        for name, dtype in self.dtypes.items():
            if dtype in PICTURES:
                kind = str(dtype).removeprefix("torch.")
                return (
                    f"dtypes() says that '{name}' is {kind}, which the engine takes for a picture",
                    "leave it out if it is one, use torch.int64 for numbers",
                )
        return None

    def fault(self, message: str, cure: str) -> UsageError:
        """An error about the dataset, at its place in the recipe."""
        return UsageError(str(Problem(f"the dataset '{self.dataset}': {message}", self.mark, cure)))


def promise(dataset: Dataset, name: str, validation: bool = False, mark: Mark | None = None) -> Promise:
    """What a dataset, which errors call by this name, says of its training or validation samples."""
    shapes = dataset.validation_shapes() if validation else dataset.shapes()
    split = "validation" if validation else "training"
    return Promise(name, split, shapes, dataset.dtypes(), dataset.ranges(), mark)


def promise_of(recipe: Recipe, validation: bool = False) -> Promise:
    """What the dataset of a recipe says of its samples."""
    return promise(recipe.dataset, recipe.data.part.full_name, validation, recipe.data.mark)


def faults(sample: Mapping[str, Any], said: Promise) -> Iterator[Fault]:
    """What is wrong with a sample."""
    if set(sample) != set(said.shapes):
        message = f"has the fields {_names(sample)}, and shapes() says {_names(said.shapes)}"
        yield Fault("", message, "let both name the same ones")
    for name, shape in said.shapes.items():
        if name in sample and (fault := _fault_of_field(name, sample[name], tuple(shape), said)):
            yield fault


def _fault_of_field(name: str, value: Any, shape: tuple[int, ...], said: Promise) -> Fault | None:
    if not isinstance(value, Tensor):
        return Fault(name, f"is a {type(value).__name__}, and no tensor", "torch.tensor makes one of it")
    if tuple(value.shape) != shape:
        return Fault(name, f"is {list(value.shape)}, and shapes() says {list(shape)}", "correct one of them")
    if fault := _fault_of_type(name, value, said):
        return fault
    return _fault_of_values(name, value, said) if value.numel() else None


def _fault_of_type(name: str, value: Tensor, said: Promise) -> Fault | None:
    wanted = said.dtypes.get(name)
    if value.layout != torch.strided or value.is_complex() or value.device.type == "meta":
        what = "on the device meta, without values" if value.device.type == "meta" else f"{value.layout} {value.dtype}"
        return Fault(name, f"is {what}", "give a plain tensor of real numbers")
    if value.dtype in PICTURES and value.ndim < 3:
        return Fault(name, f"is {value.dtype}, which is taken for a picture", "use torch.int64 for numbers")
    if wanted is None and (value.is_floating_point() or value.dtype in PICTURES):
        return None
    if wanted is None:
        return Fault(name, f"is {value.dtype}, not torch.float32 or torch.uint8", "say so in dtypes(), or convert it")
    if value.is_floating_point() if wanted.is_floating_point else value.dtype == wanted:
        return None
    return Fault(name, f"is {value.dtype}, and dtypes() says {wanted}", "correct one of them")


def _fault_of_values(name: str, value: Tensor, said: Promise) -> Fault | None:
    low, high = extremes(value)
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        return Fault(name, "holds NaN or infinity", "look at what it is computed from", True)
    if value.is_floating_point() and said.is_picture(name) and max(-low, high) > 1 + TOLERANCE:
        cure = (
            "give it as uint8, or as x / 127.5 - 1, which is ganforge.images.to_float"
            if low >= -TOLERANCE
            else "scale it to [-1, 1], and clamp what is beyond; if it is no picture, name its type in dtypes()"
        )
        return Fault(name, f"leaves [-1, 1]: it goes from {low:.4g} to {high:.4g}", cure, True)
    known = said.ranges.get(name)
    if known and not value.is_floating_point() and not (min(known) <= low and high <= max(known)):
        cure = "correct one of them, or the files that labels are counted from"
        return Fault(name, f"goes from {low:.0f} to {high:.0f}, and ranges() says {known}", cure, True)
    return None


def extremes(value: Tensor) -> tuple[float, float]:
    """The lowest and the highest number."""
    low, high = (value.float() if value.dtype == torch.uint16 else value).aminmax()
    return float(low), float(high)


@dataclass
class Seen:
    """What was seen of a field."""

    samples: int = 0
    type: str = ""
    low: float = float("inf")
    high: float = float("-inf")
    binary: bool = True

    def add(self, value: Tensor) -> None:
        """Count in the field's value in one more sample."""
        self.samples, self.type = self.samples + 1, str(value.dtype).removeprefix("torch.")
        if value.numel():
            low, high = extremes(value)
            self.low, self.high = min(self.low, low), max(self.high, high)
            self.binary = self.binary and bool(((value == 0) | (value == 1)).all())


@dataclass
class Look:
    """A look at the first samples of a split: the first fault is raised, and what is suspicious told at the end."""

    said: Promise
    seen: dict[str, Seen] = field(default_factory=dict)

    def at_batch(self, batch: Sample, indices: Sequence[int]) -> None:
        """The samples of these indices, fields `[N, ...]`.

        Raises:
            UsageError: one of them is not what the dataset says.
        """
        if not isinstance(batch, Mapping):
            self.at(batch, indices[0])
        for name, value in batch.items():
            if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != len(indices):
                has = list(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
                message = f"batch() of {len(indices)} {self.said.split} samples gives {has} as '{name}'"
                raise self.said.fault(message, "fields of a batch are tensors [N, ...]")
        for row, index in enumerate(indices):
            self.at({name: value[row] for name, value in batch.items()}, index)

    def at(self, sample: Mapping[str, Any], index: int) -> None:
        """Look at one sample, without the batch dimension.

        Raises:
            UsageError: it is not what the dataset says.
        """
        if of_all := self.said.contradiction():
            raise self.said.fault(*of_all)
        if not isinstance(sample, Mapping):
            message = f"{self.said.split} sample {index} is a {type(sample).__name__}, and no dict of tensors"
            raise self.said.fault(message, "give a dict, by the names that shapes() says")
        for fault in faults(sample, self.said):
            raise self.said.fault(fault.text(f"{self.said.split} sample {index}"), fault.cure)
        self.add(sample)

    def add(self, sample: Mapping[str, Any]) -> None:
        """Note what is in a sample."""
        for name, value in sample.items():
            self.seen.setdefault(name, Seen()).add(value)

    def suspicions(self) -> list[str]:
        """What may be right in the samples, but rarely is."""
        found = []
        for name, seen in self.seen.items():
            where = f"the dataset '{self.said.dataset}': '{name}' of the first {seen.samples} {self.said.split} samples"
            if not self.said.is_picture(name):
                continue
            white = {"uint8": 255, "uint16": 65535}.get(seen.type)
            if white and seen.high <= _DARK * white / 255:
                found.append(
                    f"{where} is never above {seen.high:.0f} of {white}: networks see black\n"
                    "  values of 12 bits, or numbers of classes, are to be scaled before they are stored"
                )
            elif not white and 0 <= seen.low <= _BLACK and seen.high > _WHITE and not seen.binary:
                found.append(
                    f"{where} goes from {seen.low:.2g} to {seen.high:.2g}, and black is -1\n"
                    "  if it is black at 0 and white at 1, give x * 2 - 1"
                )
        return found

    def tell(self) -> None:
        """Warn of what is suspicious; of several ranks, the first does."""
        for text in self.suspicions() if os.environ.get("RANK", "0") == "0" else ():
            warnings.warn(text, stacklevel=2)


def look_at_some(samples: Samples, said: Promise, indices: Sequence[int], rngs: Sequence[Any]) -> Look:
    """A look at these samples, one by one as validation takes them.

    Raises:
        UsageError: one of them is not what the dataset says.
    """
    look = Look(said)
    for index, rng in zip(indices, rngs, strict=True):
        sample = samples.sample(index, rng)
        try:
            batch = default_collate([sample])
        except Exception:
            look.at(sample, index)  # which says better why
            raise
        look.at_batch(batch, [index])
    return look


def _names(fields: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, fields))) or "none"


def look_at_first(samples: Samples, said: Promise, seed: int) -> Look:
    """A look at the first samples, as an epoch's beginning would draw them.

    Raises:
        UsageError: one of them is not what the dataset says.
    """
    indices = range(min(FIRST, len(samples)))
    return look_at_some(samples, said, indices, [random.Random(derive_seed(seed, "sample", 0, i)) for i in indices])


def looked_at(samples: Samples | None, said: Promise) -> Samples | None:
    """Validation samples, of which the first and the last are what the dataset says.

    Raises:
        UsageError: they are not.
    """
    if samples is not None and len(samples):
        indices = sorted({0, len(samples) - 1})
        look_at_some(samples, said, indices, [random.Random(index) for index in indices])
    return samples
