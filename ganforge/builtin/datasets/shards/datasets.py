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
from pydantic import Field
from torch import Tensor

from ganforge import BadFile, Dataset, EnvironmentFault, Sample, Samples, images
from ganforge.builtin.datasets.caching import Files
from ganforge.builtin.datasets.folders import Channels
from ganforge.builtin.datasets.framing import LOAD_PX, Fit, Framing, Scale, Size
from ganforge.builtin.datasets.paired import Pairs, PairSamples, Stored, halves, side_by_side, stacked, wider
from ganforge.builtin.datasets.shards.cache import FOLDER, Gibibytes
from ganforge.builtin.datasets.shards.index import HELD, TYPES, Index, Shard
from ganforge.builtin.datasets.shards.store import Store, open_store
from ganforge.builtin.datasets.unpaired import Domains, TwoFramed, Validation

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

    def pictures(self, stored: Sequence[images.Storage], make: Make) -> Files[int]:
        """Each sample as one picture, which `make` makes of its files' pictures, so stored."""
        return Files(range(len(self)), partial(self._picture, stored=stored, make=make))

    def label(self, number: int) -> int:
        """The number of a sample's class."""
        place = bisect_right(self._firsts, number) - 1
        shard, within = self.shards[place], number - self._firsts[place]
        return int(self.store.read(shard, within, self.members)[-1])

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

    def _picture(self, number: int, stored: Sequence[images.Storage], make: Make) -> Tensor:
        place = bisect_right(self._firsts, number) - 1
        shard, within = self.shards[place], number - self._firsts[place]
        data = self.store.read(shard, within, self.members)
        try:
            return make([storage.decode(each) for each, storage in zip(data, stored, strict=False)])
        except ValueError as error:
            raise BadFile(
                f"cannot read the picture of sample {within} in {shard.name}: {error}",
                "put a good one in its place in the folder, and pack that again",
            ) from error


class Shards(Dataset):
    """What datasets of shards have in common, whatever the pictures are to each other."""

    store: Store
    mix_shards: int
    kind: ClassVar[str]
    """The name that it is registered under."""

    def prepare(self) -> None:
        self.check(self.store.prepare(self.mix_shards + 1))

    def files(self) -> Sequence[Path]:
        return self.store.files()

    def index(self) -> Index:
        """What the pack holds."""
        return self.check(self.store.index())

    def check(self, index: Index) -> Index:
        """The index, if it is of the kind that this dataset reads."""
        if TYPES[index.layout] != self.kind:
            raise EnvironmentFault(f"these shards hold {HELD[index.layout]}; `type: {TYPES[index.layout]}` reads them")
        return index


class PairedShards(Shards, Pairs):
    """Pairs of pictures that correspond pixel by pixel, in tar shards that `ganforge data pack` made.

    As `paired_folders`, for data larger than memory, a disk or a file system's patience; the shards know whether a
    pair is one file or two. An epoch shows each pair once, in an order that is near the shards'.
    Fields: `real_a`, `real_b`, float `[channels_a or channels_b, *crop_px]` in `[-1, 1]`; validation samples,
    of val or else of test, are resized to `crop_px`.

    Args:
        root: the folder with the shards, or its URL: `https://`, `http://` or `file://`.
        left: which of the two, `real_a` or `real_b`, is the left half of a side-by-side picture.
        load_px: the size of a picture before the crop, the side of a square or [height, width]; null takes `crop_px`
            straight away.
        crop_px: the size of a sample, the side of a square or [height, width].
        flip: mirror left to right with probability 1/2.
        channels_a: of domain A: 3 for RGB, 1 for grey, 4 and 2 for those with transparency, and as many as the files
            have.
        channels_b: of domain B.
        mix_shards: samples are shuffled among so many shards of a shuffled list.
        cache_dir: where shards from a URL are kept; all processes of a machine may share it.
        cache_gib: how much they may take; those unused for longest leave first.
        fit: how a picture of other proportions is brought to `load_px`: `squeeze` it; `cover` it, and what juts out is
            cut off; `contain` it, and the rest is black; `none` takes the crop from it as it is.
        scale_px: for `fit: none`, what the shorter side becomes, or `{longer: 512}`.
        mask: for `fit: contain`, whether samples say where the picture is: `mask_a` and `mask_b`, float
            `[1, *crop_px]`, 1 there and 0 elsewhere.
        depth_a: bits of a channel in files of domain A: 8 or 16, or `float`.
        depth_b: of domain B.
        range_a: which values of domain A are black and white: `[0, 4095]`; `file`, or `{percentiles: [1, 99]}` of each
            file; by default the lowest and the highest that the depth has.
        range_b: of domain B.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; options that do not go together; `root` is a URL of another
            kind.
    """

    kind = "paired_shards"

    def __init__(
        self,
        root: str,
        left: Literal["a", "b"] = "a",
        load_px: Size | None = LOAD_PX,
        crop_px: Size = 256,
        flip: bool = True,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        mix_shards: MixShards = 4,
        cache_dir: str = FOLDER,
        cache_gib: Gibibytes = 32,
        fit: Fit = "squeeze",
        scale_px: Scale | None = None,
        mask: bool = False,
        depth_a: images.Depth = 8,
        depth_b: images.Depth = 8,
        range_a: images.Range = None,
        range_b: images.Range = None,
    ) -> None:
        self.store = open_store(root, cache_dir, cache_gib)
        self.left = left
        self.framing = Framing.of(load_px, crop_px, flip, fit, scale_px, mask)
        self.stored = images.Storage(channels_a, depth_a, range_a), images.Storage(channels_b, depth_b, range_b)
        self.mix_shards = mix_shards

    def fields_in(self, height_px: int, width_px: int) -> Mapping[str, tuple[int, int, int, int]]:
        return side_by_side(height_px, width_px, self.left)

    def train(self) -> Samples:
        index = self.index()
        split = Split(self.store, index, "train")
        return _Pairs(self.framing, self._pairs(split, index, self.framing), split, self)

    def validation(self) -> Samples | None:
        index = self.index()
        name = next((name for name in ("val", "test") if name in index.splits), None)
        if name is None:
            return None
        whole = self.framing.whole
        return PairSamples(whole, self._pairs(Split(self.store, index, name), index, whole), self.channels)

    def _pairs(self, split: Split, index: Index, framing: Framing) -> Files[int]:
        if index.layout == "two_folders":
            return split.pictures(self.stored, partial(_stack, framing=framing))
        make = partial(_halves, stored=self.stored, framing=framing, left=self.left)
        return split.pictures([wider(self.stored)], make)


def _stack(pictures: list[Tensor], framing: Framing) -> Tensor:
    return stacked([framing.bring(picture) for picture in pictures])


def _halves(pictures: list[Tensor], stored: Stored, framing: Framing, left: str) -> Tensor:
    return halves(pictures[0], stored, framing, left)


class _Pairs(PairSamples):
    def __init__(self, framing: Framing, pairs: Files[int], split: Split, dataset: PairedShards) -> None:
        super().__init__(framing, pairs, dataset.channels)
        self.split, self.mix_shards = split, dataset.mix_shards

    def order(self, rng: random.Random) -> Sequence[int]:
        numbers: list[int] = self.split.order(rng, self.mix_shards).tolist()
        return numbers


class UnpairedShards(Shards, Domains):
    """Pictures of two domains that do not correspond, in tar shards that `ganforge data pack` made.

    As `unpaired_folders`, for data larger than memory, a disk or a file system's patience. An epoch shows each picture
    of the larger domain once, and those of the other equally often, in an order that is near the shards'. Validation:
    picture i of both domains' val, or else test.
    Fields: `real_a`, `real_b`, float `[channels_a or channels_b, *crop_px]` in `[-1, 1]`.

    Args:
        root: the folder with the shards, or its URL: `https://`, `http://` or `file://`.
        load_px: the size of a picture before the crop, the side of a square or [height, width]; null takes `crop_px`
            straight away.
        crop_px: the size of a sample, the side of a square or [height, width].
        flip: mirror left to right with probability 1/2.
        channels_a: of domain A: 3 for RGB, 1 for grey, 4 and 2 for those with transparency, and as many as the files
            have.
        channels_b: of domain B.
        mix_shards: samples are shuffled among so many shards of a shuffled list.
        cache_dir: where shards from a URL are kept; all processes of a machine may share it.
        cache_gib: how much they may take; those unused for longest leave first.
        fit: how a picture of other proportions is brought to `load_px`: `squeeze` it; `cover` it, and what juts out is
            cut off; `contain` it, and the rest is black; `none` takes the crop from it as it is.
        scale_px: for `fit: none`, what the shorter side becomes, or `{longer: 512}`.
        mask: for `fit: contain`, whether samples say where the picture is: `mask_a` and `mask_b`, float
            `[1, *crop_px]`, 1 there and 0 elsewhere.
        depth_a: bits of a channel in files of domain A: 8 or 16, or `float`.
        depth_b: of domain B.
        range_a: which values of domain A are black and white: `[0, 4095]`; `file`, or `{percentiles: [1, 99]}` of each
            file; by default the lowest and the highest that the depth has.
        range_b: of domain B.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; options that do not go together; `root` is a URL of another
            kind.
    """

    kind = "unpaired_shards"

    def __init__(
        self,
        root: str,
        load_px: Size | None = LOAD_PX,
        crop_px: Size = 256,
        flip: bool = True,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        mix_shards: MixShards = 4,
        cache_dir: str = FOLDER,
        cache_gib: Gibibytes = 32,
        fit: Fit = "squeeze",
        scale_px: Scale | None = None,
        mask: bool = False,
        depth_a: images.Depth = 8,
        depth_b: images.Depth = 8,
        range_a: images.Range = None,
        range_b: images.Range = None,
    ) -> None:
        self.store = open_store(root, cache_dir, cache_gib)
        self.framing = Framing.of(load_px, crop_px, flip, fit, scale_px, mask)
        self.stored = images.Storage(channels_a, depth_a, range_a), images.Storage(channels_b, depth_b, range_b)
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
        held = (self.pictures(split, domain, whole) for domain, split in splits.items())
        return Validation(whole, self.channels, *held)

    def pictures(self, split: Split, domain: str, framing: Framing) -> Files[int]:
        """The pictures of a domain in a split, brought to their size."""
        return split.pictures([self.stored["AB".index(domain)]], partial(single, framing=framing))


def single(pictures: list[Tensor], framing: Framing) -> Tensor:
    return framing.bring(pictures[0])


class _Unpaired(TwoFramed):
    """Number `i + n * k`, for n samples of the larger domain and m of the other, is its picture i with (i + k) mod m.

    So the first n numbers are pictures of the same number, and an order can pair any two.
    """

    def __init__(self, dataset: UnpairedShards, *splits: Split) -> None:
        framing, both = dataset.framing, zip(splits, "AB", strict=True)
        held = (dataset.pictures(split, domain, framing) for split, domain in both)
        super().__init__(framing, dataset.channels, *held)
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
        framed = (self.framing.augment(held[number], rng) for held, number in zip(self.held, numbers, strict=True))
        return self.fields(*framed)

    def _filled(self, split: Split, rng: random.Random) -> np.ndarray:
        """As many orders of a split, one after the other, as an epoch needs."""
        passes = -(-len(self) // len(split))
        return np.concatenate([split.order(rng, self.mix_shards) for _ in range(passes)])[: len(self)]
