"""The samples of a step where each lane has a stretch of an order: what docs/scale.md says of tar shards."""

from __future__ import annotations

import itertools
import random
from contextlib import closing

import torch

from ganforge.api.datasets import Sample, Samples
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.training.loader import Loader


class Numbers(Samples):
    """Of 0 to 15, in this order."""

    def __len__(self) -> int:
        return 16

    def order(self, rng: random.Random) -> list[int]:
        return list(range(16))

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {"index": torch.tensor(index)}


def epoch(lanes: int, ranks: int) -> list[list[int]]:
    """The samples of each step of 4."""
    steps: list[list[int]] = [[] for _ in range(4)]
    for rank in range(ranks):
        division = Division(4 // lanes, lanes=lanes, ranks=ranks, rank=rank)
        loader = Loader(Numbers(), division, 0, 5, Precision("fp32", torch.device("cpu")))
        with closing(loader.batches(0)) as batches:
            for step in steps:
                for batch in itertools.islice(batches, len(division.mine)):
                    step += batch["index"].tolist()
    return steps


def test_as_many_lanes_read_the_same_on_any_number_of_ranks_and_others_in_another_order() -> None:
    assert epoch(2, ranks=1) == epoch(2, ranks=2)
    assert epoch(1, ranks=1)[0] == [0, 1, 2, 3]
    assert epoch(2, ranks=2)[0] == [0, 1, 8, 9]
    assert sorted(itertools.chain(*epoch(4, ranks=2))) == list(range(16))
