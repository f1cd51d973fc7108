"""The samples of a split, by their number in the pack, and the orders in which they are shown."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from ganforge import BadFile, images
from ganforge.builtin.datasets.caching import Files
from ganforge.builtin.datasets.shards.index import Index, Shard
from ganforge.builtin.datasets.shards.store import Store

MixShards = Annotated[int, Field(ge=1)]
Make = Callable[[list[Tensor]], Tensor]


class Split:
    """The samples of one of a pack's splits."""

    def __init__(self, store: Store, index: Index, name: str) -> None:
        self.store, self.members = store, index.members
        self.shards: Sequence[Shard] = index.splits[name]
        self._firsts = list(accumulate((shard.samples for shard in self.shards), initial=0))

    def __len__(self) -> int:
        return self._firsts[-1]

    def pictures(self, channels: Sequence[int], make: Make) -> Files[int]:
        """Each sample as one picture, which `make` makes of its files' pictures, decoded to so many channels each."""
        return Files(range(len(self)), partial(self._picture, channels=channels, make=make))

    def order(self, rng: random.Random, mix_shards: int) -> np.ndarray:
        """All numbers in a random order, int64 `[N]`, in which about `mix_shards` shards are in use at any time.

        The shards are shuffled, and shard k shows its samples at times drawn from k to k + `mix_shards`: so they come
        and go one at a time.
        """
        ranks = list(range(len(self.shards)))
        rng.shuffle(ranks)
        starts = np.repeat(np.array(ranks, np.float64), [shard.samples for shard in self.shards])
        # Of Python's generator: the same in every version of everything.
        times = starts + mix_shards * np.array([rng.random() for _ in range(len(self))])
        return np.argsort(times, kind="stable")

    def _picture(self, number: int, channels: Sequence[int], make: Make) -> Tensor:
        place = bisect_right(self._firsts, number) - 1
        shard, within = self.shards[place], number - self._firsts[place]
        data = self.store.read(shard, within, self.members)
        try:
            return make([images.decode_image(*pair) for pair in zip(data, channels, strict=True)])
        except ValueError as error:
            raise BadFile(
                f"cannot read the picture of sample {within} in {shard.name}: {error}",
                "put a good one in its place in the folder, and pack that again",
            ) from error
