"""Batches: what they are a function of, and what the device makes of them."""

from __future__ import annotations

import itertools
import random
from contextlib import closing

import pytest
import torch
from torch import Tensor

from ganforge import EnvironmentFault, Sample, Samples, images
from ganforge.core.randomness import derive_seed
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.step.batch import to_device
from ganforge.training.loader import Loader

CPU = Precision("fp32", torch.device("cpu"))


class Noise(Samples):
    """Bytes, floats and numbers; it also tells how many threads it was made with."""

    def __init__(self, broken: int = -1) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 7

    def sample(self, index: int, rng: random.Random) -> Sample:
        if index == self.broken:
            raise EnvironmentFault("cannot read the picture 3")
        picture = torch.tensor([rng.randrange(256) for _ in range(12)], dtype=torch.uint8).view(3, 2, 2)
        threads = torch.tensor(torch.get_num_threads())
        return {"real": picture, "score": torch.tensor(rng.random()), "index": torch.tensor(index), "threads": threads}


def taken(count: int, position: int = 0, workers: int = 0, precision: Precision = CPU) -> list[dict[str, Tensor]]:
    with closing(Loader(Noise(), Division(2), workers, 5, precision).batches(position)) as batches:
        return list(itertools.islice(batches, count))


def equal(left: list[dict[str, Tensor]], right: list[dict[str, Tensor]]) -> bool:
    return all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(left, right, strict=True)
    )


def test_a_batch_is_a_function_of_seed_and_position() -> None:
    expected = []
    for epoch in range(2):
        order = list(range(7))
        random.Random(derive_seed(5, "order", epoch)).shuffle(order)
        for first in (0, 2, 4):
            drawn = [
                Noise().sample(index, random.Random(derive_seed(5, "sample", epoch, index)))
                for index in order[first : first + 2]
            ]
            fields = {name: torch.stack([sample[name] for sample in drawn]) for name in drawn[0]}
            expected.append(fields | {"real": torch.stack([images.to_float(sample["real"]) for sample in drawn])})
    assert equal(taken(6), expected)
    assert equal(taken(2, position=4), expected[4:])


def test_workers_change_nothing_and_take_one_thread_each() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        alone, helped = taken(6), taken(6, workers=2)
    finally:
        torch.set_num_threads(threads)
    assert {int(count) for batch in alone for count in batch.pop("threads")} == {2}
    assert {int(count) for batch in helped for count in batch.pop("threads")} == {1}
    assert equal(alone, helped)


def test_bytes_become_floats_on_the_device() -> None:
    batch = Noise().batch([1, 2], [random.Random(1), random.Random(2)])
    floats = to_device(batch, CPU)
    assert torch.equal(floats["real"], torch.stack([images.to_float(picture) for picture in batch["real"]]))
    assert (floats["score"].dtype, floats["index"].dtype) == (torch.float32, torch.int64)
    wide = to_device(batch, Precision("fp64", torch.device("cpu")))
    assert torch.equal(wide["real"], floats["real"].double())
    assert wide["index"].dtype == torch.int64


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_of_a_sample_is_told_as_it_is(workers: int) -> None:
    with (
        closing(Loader(Noise(broken=3), Division(7), workers, 0, CPU).batches(0)) as batches,
        pytest.raises(EnvironmentFault, match=r"^cannot read the picture 3$"),
    ):
        next(batches)


def test_too_few_samples_are_told() -> None:
    with pytest.raises(
        EnvironmentFault, match=r"7 training samples, fewer than a step takes: 8\n  lower data\.batch_size"
    ):
        Loader(Noise(), Division(8), 0, 0, CPU)


class Ordered(Noise):
    """Asks for its samples in the order of their numbers."""

    def order(self, rng: random.Random) -> list[int]:
        return list(range(len(self)))

    def __len__(self) -> int:
        return 26


def indices(samples: Samples, steps: int, **division: int) -> list[list[int]]:
    """The samples of each step, of all ranks together, lane by lane."""
    lanes, ranks = division.pop("lanes", 1), division.pop("ranks", 1)
    found: list[list[int]] = [[] for _ in range(steps)]
    for rank in range(ranks):
        mine = Division(**division, lanes=lanes, ranks=ranks, rank=rank)  # type: ignore[arg-type]
        with closing(Loader(samples, mine, 0, 5, CPU).batches(0)) as batches:
            for step in found:
                for batch in itertools.islice(batches, mine.accumulate * len(mine.mine)):
                    step += batch["index"].tolist()
    return found


@pytest.mark.parametrize(
    "division",
    [
        {"batch": 3, "accumulate": 2},
        {"batch": 1, "lanes": 6, "ranks": 6},
        {"batch": 2, "lanes": 3, "ranks": 2},
        {"batch": 1, "accumulate": 2, "lanes": 3, "ranks": 3},
    ],
)
def test_a_step_has_the_same_samples_however_it_is_divided(division: dict[str, int]) -> None:
    class Many(Noise):
        def __len__(self) -> int:
            return 26

    steps = indices(Many(), 9, **division)
    assert steps == indices(Many(), 9, batch=6)
    epochs = [list(itertools.chain(*steps[start : start + 4])) for start in (0, 4)]
    assert all(len(set(epoch)) == 24 for epoch in epochs)


def test_an_order_gives_each_share_a_stretch() -> None:
    steps = indices(Ordered(), 4, batch=2, lanes=3, ranks=3)
    assert sorted(itertools.chain(*steps)) == list(range(24))
    for lane in range(3):
        assert [i for step in steps for i in step[2 * lane : 2 * lane + 2]] == list(range(8 * lane, 8 * lane + 8))
