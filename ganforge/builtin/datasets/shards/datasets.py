"""Pictures of two domains from shards: pairs that correspond pixel by pixel, and pictures that do not."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganforge import BadFile, Dataset, EnvironmentFault, Sample, Samples, images
from ganforge.builtin.datasets.caching import Files
from ganforge.builtin.datasets.folders import Channels, Pixels
from ganforge.builtin.datasets.framing import Framed, Framing
from ganforge.builtin.datasets.paired import Pairs, PairSamples, halves, side_by_side
from ganforge.builtin.datasets.shards.cache import FOLDER, Gibibytes
from ganforge.builtin.datasets.shards.index import Index, Shard
from ganforge.builtin.datasets.shards.store import Store, open_store
from ganforge.builtin.datasets.unpaired import Domains, Validation

MixShards = Annotated[int, Field(ge=1)]
Make = Callable[[list[Tensor]], Tensor]


class Split:
    """The samples of one of a pack's splits, by their number, and the orders in which they are shown."""

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


class _Shards(Dataset):
    """What datasets of shards have in common, whatever the pictures are to each other."""

    store: Store
    mix_shards: int
    paired: ClassVar[bool]

    def prepare(self) -> None:
        self._check(self.store.prepare(self.mix_shards + 1))

    def files(self) -> Sequence[Path]:
        return self.store.files()

    def index(self) -> Index:
        """What the pack holds."""
        return self._check(self.store.index())

    def _check(self, index: Index) -> Index:
        if self.paired == (index.layout == "unpaired"):
            hold, kind = ("pictures that do not correspond", "unpaired") if self.paired else ("pairs", "paired")
            raise EnvironmentFault(f"these shards hold {hold}; `type: {kind}_shards` reads them")
        return index


class PairedShards(_Shards, Pairs):
    """Pairs of pictures that correspond pixel by pixel, in tar shards that `ganforge data pack` made.

    As `paired_folders`, for data larger than memory, a disk or a file system's patience; the shards know whether a
    pair is one file or two. An epoch shows each pair once, in an order that is near the shards'.
    Fields: `real_a`, `real_b`, float `[channels_a or channels_b, crop_px, crop_px]` in `[-1, 1]`; validation samples,
    of val or else of test, are resized to `crop_px`.

    Args:
        root: the folder with the shards, or its URL: `https://`, `http://` or `file://`.
        left: which of the two, `real_a` or `real_b`, is the left half of a side-by-side picture.
        load_px: the side of a picture before the crop; null resizes to `crop_px` straight away.
        crop_px: the side of a sample.
        flip: mirror left to right with probability 1/2.
        channels_a: of `real_a`: 3 for RGB, 1 for grey.
        channels_b: of `real_b`.
        mix_shards: samples are shuffled among so many shards of a shuffled list.
        cache_dir: where shards from a URL are kept; all processes of a machine may share it.
        cache_gib: how much they may take; those unused for longest leave first.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; `root` is a URL of another kind.
    """

    paired = True

    def __init__(
        self,
        root: str,
        left: Literal["a", "b"] = "a",
        load_px: Pixels | None = 286,
        crop_px: Pixels = 256,
        flip: bool = True,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        mix_shards: MixShards = 4,
        cache_dir: str = FOLDER,
        cache_gib: Gibibytes = 32,
    ) -> None:
        self.store = open_store(root, cache_dir, cache_gib)
        self.left = left
        self.framing = Framing(load_px or crop_px, crop_px, flip)
        self.channels = (channels_a, channels_b)
        self.mix_shards = mix_shards

    def fields_in(self, height_px: int, width_px: int) -> Mapping[str, tuple[int, int, int, int]]:
        return side_by_side(height_px, width_px, self.left)

    def train(self) -> Samples:
        index = self.index()
        split = Split(self.store, index, "train")
        return _Pairs(self.framing, self._pairs(split, index, self.framing.load_px), self.channels[0], split, self)

    def validation(self) -> Samples | None:
        index = self.index()
        name = next((name for name in ("val", "test") if name in index.splits), None)
        if name is None:
            return None
        pairs = self._pairs(Split(self.store, index, name), index, self.framing.crop_px)
        return PairSamples(self.framing.whole, pairs, self.channels[0])

    def _pairs(self, split: Split, index: Index, size_px: int) -> Files[int]:
        """uint8 `[channels_a + channels_b, size_px, size_px]`."""
        if index.layout == "two_folders":
            return split.pictures(self.channels, partial(_stack, size_px=size_px))
        return split.pictures([3], partial(_halves, channels=self.channels, size_px=size_px, left=self.left))


def _stack(pictures: list[Tensor], size_px: int) -> Tensor:
    return torch.cat([images.resize(picture, size_px, size_px) for picture in pictures])


def _halves(pictures: list[Tensor], channels: tuple[int, int], size_px: int, left: str) -> Tensor:
    return halves(pictures[0], channels, size_px, left)


class _Pairs(PairSamples):
    def __init__(
        self, framing: Framing, pairs: Files[int], channels_a: int, split: Split, dataset: PairedShards
    ) -> None:
        super().__init__(framing, pairs, channels_a)
        self.split, self.mix_shards = split, dataset.mix_shards

    def order(self, rng: random.Random) -> Sequence[int]:
        numbers: list[int] = self.split.order(rng, self.mix_shards).tolist()
        return numbers


class UnpairedShards(_Shards, Domains):
    """Pictures of two domains that do not correspond, in tar shards that `ganforge data pack` made.

    As `unpaired_folders`, for data larger than memory, a disk or a file system's patience. An epoch shows each picture
    of the larger domain once, and those of the other equally often, in an order that is near the shards'. Validation:
    picture i of both domains' val, or else test.
    Fields: `real_a`, `real_b`, float `[channels_a or channels_b, crop_px, crop_px]` in `[-1, 1]`.

    Args:
        root: the folder with the shards, or its URL: `https://`, `http://` or `file://`.
        load_px: the side of a picture before the crop; null resizes to `crop_px` straight away.
        crop_px: the side of a sample.
        flip: mirror left to right with probability 1/2.
        channels_a: of domain A: 3 for RGB, 1 for grey.
        channels_b: of domain B.
        mix_shards: samples are shuffled among so many shards of a shuffled list.
        cache_dir: where shards from a URL are kept; all processes of a machine may share it.
        cache_gib: how much they may take; those unused for longest leave first.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; `root` is a URL of another kind.
    """

    paired = False

    def __init__(
        self,
        root: str,
        load_px: Pixels | None = 286,
        crop_px: Pixels = 256,
        flip: bool = True,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        mix_shards: MixShards = 4,
        cache_dir: str = FOLDER,
        cache_gib: Gibibytes = 32,
    ) -> None:
        self.store = open_store(root, cache_dir, cache_gib)
        self.framing = Framing(load_px or crop_px, crop_px, flip)
        self.channels = (channels_a, channels_b)
        self.mix_shards = mix_shards

    def train(self) -> Samples:
        index = self.index()
        return _Unpaired(self, *(Split(self.store, index, f"train{domain}") for domain in "AB"))

    def validation(self) -> Samples | None:
        index = self.index()
        split = next((split for split in ("val", "test") if f"{split}A" in index.splits), None)
        if split is None:
            return None
        whole, splits = self.framing.whole, {domain: Split(self.store, index, f"{split}{domain}") for domain in "AB"}
        return Validation(whole, *(self.pictures(split, domain, whole.load_px) for domain, split in splits.items()))

    def pictures(self, split: Split, domain: str, size_px: int) -> Files[int]:
        """The pictures of a domain in a split, resized."""
        return split.pictures([self.channels["AB".index(domain)]], partial(_square, size_px=size_px))


def _square(pictures: list[Tensor], size_px: int) -> Tensor:
    return images.resize(pictures[0], size_px, size_px)


class _Unpaired(Framed):
    """Number `i + n * k`, for n samples of the larger domain and m of the other, is its picture i with (i + k) mod m.

    So the first n numbers are pictures of the same number, and an order can pair any two.
    """

    def __init__(self, dataset: UnpairedShards, *splits: Split) -> None:
        framing, both = dataset.framing, zip(splits, "AB", strict=True)
        super().__init__(framing, *(dataset.pictures(split, domain, framing.load_px) for split, domain in both))
        self.splits, self.mix_shards = splits, dataset.mix_shards
        a, b = map(len, self.held)
        self.larger_first, self.fewer = a >= b, min(a, b)

    def order(self, rng: random.Random) -> Sequence[int]:
        # Each domain in its own shards' order: a random picture of B for each of A would need all shards at once.
        a, b = (self._filled(split, rng) for split in self.splits)
        larger, smaller = (a, b) if self.larger_first else (b, a)
        numbers: list[int] = (larger + len(self) * ((smaller - larger) % self.fewer)).tolist()
        return numbers

    def sample(self, index: int, rng: random.Random) -> Sample:
        turn, larger = divmod(index, len(self))
        smaller = (larger + turn) % self.fewer
        numbers = (larger, smaller) if self.larger_first else (smaller, larger)
        a, b = (self.framing.augment(held[number], rng) for held, number in zip(self.held, numbers, strict=True))
        return {"real_a": a, "real_b": b}

    def _filled(self, split: Split, rng: random.Random) -> np.ndarray:
        """As many orders of a split, one after the other, as an epoch needs."""
        passes = -(-len(self) // len(split))
        return np.concatenate([split.order(rng, self.mix_shards) for _ in range(passes)])[: len(self)]
