"""`check_op` and `check_dataset` refuse each defect by name, and let sound parts pass."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganforge import Context, Dataset, Sample, Samples
from ganforge.testing import CheckFailed, check_dataset, check_op


class Echo:
    """Hands back what came before, now and then; a sound op with state."""

    def __init__(self, chance: float = 0.5, *, rng: random.Random) -> None:
        self.chance, self.rng = chance, rng
        self.last: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        last, self.last = self.last, x
        return last if last is not None and self.rng.random() < self.chance else x

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.last = state["last"]


class Drift:
    """A mean that a method moves."""

    def __init__(self) -> None:
        self.mean = torch.zeros(())

    def __call__(self, x: Tensor, *, context: Context) -> Tensor:
        return x - self.mean + 0 * context.batch_size

    def watch(self, x: Tensor) -> Tensor:
        self.mean = self.mean.lerp(x.mean(), 0.5)
        return x

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.mean = state["mean"]


SOUND: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "echo": (Echo, ((4, 3),), {"chance": 0.3}),
    "drift": (Drift, ((4, 3),), {"method": "watch"}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_op_passes(name: str) -> None:
    op, arguments, options = SOUND[name]
    check_op(op, *arguments, **options)


class Forgetful(Echo):
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class Stateless:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls


class Shared:
    memory: list[float] = []  # noqa: RUF012 - the defect

    def __call__(self, x: Tensor) -> Tensor:
        self.memory.append(1.0)
        return x + len(self.memory)


def unseeded(x: Tensor) -> Tensor:
    return x + float(np.random.default_rng().normal())


def waiting(x: Tensor) -> Tensor:
    return x[x[:, 0] > 0]


def raising(x: Tensor) -> Tensor:
    raise ZeroDivisionError("by design")


DEFECTS: dict[str, tuple[Callable[..., Any], str]] = {
    "forgetful": (Forgetful, r"Forgetful \[state\]: after a checkpoint it goes on differently: .* return all of it"),
    "stateless": (Stateless, r"\[state\]: .*write state_dict for it"),
    "unseeded": (unseeded, r"\[repeat\]: one seed gives two series"),
    "waiting": (waiting, r"\[waiting\]: it asks for a tensor's value"),
    "raising": (raising, r"\[call\]: ZeroDivisionError: by design"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_named(name: str) -> None:
    op, message = DEFECTS[name]
    with pytest.raises(CheckFailed, match=message):
        check_op(op, (4, 3))


def test_state_outside_of_the_object_is_found() -> None:
    with pytest.raises(CheckFailed, match=r"\[copy\]: calling a copy of it changes the original"):
        check_op(Shared, (4, 3), skip=("repeat", "state"))


# Datasets


def dataset(sample: Callable[[int, random.Random], Sample], **more: Any) -> Callable[[], Dataset]:
    class Sampled(Samples):
        def __len__(self) -> int:
            return 3

        def sample(self, index: int, rng: random.Random) -> Sample:
            return sample(index, rng)

    class Faulty(Dataset):
        def shapes(self) -> Mapping[str, tuple[int, ...]]:
            return {"real": (3, 4, 4)}

        def train(self) -> Samples:
            return Sampled()

    return Faulty


FAULTS: dict[str, tuple[Callable[[int, random.Random], Sample], str]] = {
    "fields": (
        lambda i, r: {"image": torch.zeros(3, 4, 4)},
        r"\[shapes\]: a training sample has the fields image, and shapes\(\) says real",
    ),
    "shape": (lambda i, r: {"real": torch.zeros(3, 4, 5)}, r"\[shapes\]: 'real' of a training sample is \[3, 4, 5\]"),
    "type": (
        lambda i, r: {"real": torch.zeros(3, 4, 4, dtype=torch.int64)},
        r"'real' of a training sample is torch.int64, not torch.float32",
    ),
    "range": (
        lambda i, r: {"real": torch.full((3, 4, 4), 255.0)},
        r"\[range\]: 'real' of a training sample leaves \[-1, 1\]",
    ),
    "nan": (lambda i, r: {"real": torch.full((3, 4, 4), torch.nan)}, r"\[range\]: .* holds NaN or infinity"),
    "unit": (
        lambda i, r: {"real": torch.arange(48).view(3, 4, 4) / 47},
        r"\[black\]: .* goes from 0 to 1, and black is -1\n  .*x \* 2 - 1",
    ),
    "random": (lambda i, r: {"real": torch.rand(3, 4, 4)}, r"\[repeat\]: one rng gives two samples"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_dataset_is_told(name: str) -> None:
    sample, message = FAULTS[name]
    with pytest.raises(CheckFailed, match=message):
        check_dataset(dataset(sample))


class Reversed(Samples):
    """Pictures of bytes, whose batches come out in the wrong order."""

    def __len__(self) -> int:
        return 3

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {"real": torch.full((3, 4, 4), index + rng.randrange(100), dtype=torch.uint8)}

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return super().batch(indices[::-1], rngs[::-1])


def test_a_batch_must_be_its_samples() -> None:
    one_by_one = dataset(Reversed().sample)
    check_dataset(one_by_one)
    faulty = one_by_one()
    faulty.train = Reversed  # type: ignore[method-assign]
    with pytest.raises(CheckFailed, match=r"\[batch\]: batch\(\) of the training samples gives other values"):
        check_dataset(lambda: faulty)


def test_uint8_is_no_type_for_numbers() -> None:
    numbered = dataset(Reversed().sample)()
    numbered.dtypes = lambda: {"real": torch.uint8}  # type: ignore[method-assign]
    with pytest.raises(CheckFailed, match=r"\[shapes\]: dtypes\(\) says that 'real' is uint8, which the engine takes"):
        check_dataset(lambda: numbered)
