"""Pictures of two domains that do not correspond, from shards."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from ganforge import EnvironmentFault, Sample, Samples, images
from ganforge.builtin.datasets.caching import Files
from ganforge.builtin.datasets.folders import Channels, Pixels
from ganforge.builtin.datasets.framing import Framing
from ganforge.builtin.datasets.shards.cache import FOLDER, Gibibytes
from ganforge.builtin.datasets.shards.index import Index
from ganforge.builtin.datasets.shards.split import MixShards, Split
from ganforge.builtin.datasets.shards.store import open_store
from ganforge.builtin.datasets.unpaired import Domains, Validation


class UnpairedShards(Domains):
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
        self.channels = {"A": channels_a, "B": channels_b}
        self.mix_shards = mix_shards

    def prepare(self) -> None:
        _check(self.store.prepare(self.mix_shards + 1))

    def files(self) -> Sequence[Path]:
        return self.store.files()

    def train(self) -> Samples:
        index = _check(self.store.index())
        a, b = (Split(self.store, index, f"train{domain}") for domain in "AB")
        return _Training(a, b, self)

    def validation(self) -> Samples | None:
        index = _check(self.store.index())
        split = next((split for split in ("val", "test") if f"{split}A" in index.splits), None)
        if split is None:
            return None
        a, b = (Split(self.store, index, f"{split}{domain}") for domain in "AB")
        crop_px = self.framing.crop_px
        return Validation(self.pictures(a, "A", crop_px), self.pictures(b, "B", crop_px))

    def pictures(self, split: Split, domain: str, size_px: int) -> Files[int]:
        """The pictures of a domain in a split, resized."""
        return split.pictures([self.channels[domain]], partial(_square, size_px=size_px))


def _square(pictures: list[Tensor], size_px: int) -> Tensor:
    return images.resize(pictures[0], size_px, size_px)


def _check(index: Index) -> Index:
    if index.layout != "unpaired":
        raise EnvironmentFault("these shards hold pairs; `type: paired_shards` reads them")
    return index


class _Training(Samples):
    """Number `i + n * k`, for n samples of the larger domain and m of the other, is its picture i with (i + k) mod m.

    So the first n numbers are pictures of the same number, and an order can pair any two.
    """

    def __init__(self, a: Split, b: Split, dataset: UnpairedShards) -> None:
        self.splits, self.mix_shards, self.framing = (a, b), dataset.mix_shards, dataset.framing
        self.a, self.b = (dataset.pictures(split, d, self.framing.load_px) for split, d in ((a, "A"), (b, "B")))

    def __len__(self) -> int:
        return max(len(self.a), len(self.b))

    def order(self, rng: random.Random) -> Sequence[int]:
        # Each domain in its own shards' order: a random picture of B for each of A would need all shards at once.
        a, b = (self._filled(split, rng) for split in self.splits)
        larger, smaller = (a, b) if len(self.a) >= len(self.b) else (b, a)
        numbers: list[int] = (larger + len(self) * ((smaller - larger) % self._fewer)).tolist()
        return numbers

    def sample(self, index: int, rng: random.Random) -> Sample:
        turn, larger = divmod(index, len(self))
        smaller = (larger + turn) % self._fewer
        a, b = (larger, smaller) if len(self.a) >= len(self.b) else (smaller, larger)
        return {"real_a": self.framing.augment(self.a[a], rng), "real_b": self.framing.augment(self.b[b], rng)}

    @property
    def _fewer(self) -> int:
        return min(len(self.a), len(self.b))

    def _filled(self, split: Split, rng: random.Random) -> np.ndarray:
        """As many orders of a split, one after the other, as an epoch needs."""
        passes = -(-len(self) // len(split))
        return np.concatenate([split.order(rng, self.mix_shards) for _ in range(passes)])[: len(self)]
