"""Pictures that correspond pixel by pixel, from shards."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ganforge import EnvironmentFault, Samples, images
from ganforge.builtin.datasets import paired
from ganforge.builtin.datasets.caching import Files
from ganforge.builtin.datasets.folders import Channels, Pixels
from ganforge.builtin.datasets.framing import Framing
from ganforge.builtin.datasets.shards.cache import FOLDER, Gibibytes
from ganforge.builtin.datasets.shards.index import Index
from ganforge.builtin.datasets.shards.split import MixShards, Split
from ganforge.builtin.datasets.shards.store import open_store


class PairedShards(paired.Pairs):
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
        return paired.side_by_side(height_px, width_px, self.left)

    def prepare(self) -> None:
        _check(self.store.prepare(self.mix_shards + 1))

    def files(self) -> Sequence[Path]:
        return self.store.files()

    def train(self) -> Samples:
        index = _check(self.store.index())
        split = Split(self.store, index, "train")
        pairs = self._pairs(split, index, self.framing.load_px)
        return _Training(pairs, self.channels[0], self.framing, split, self.mix_shards)

    def validation(self) -> Samples | None:
        index = _check(self.store.index())
        name = next((name for name in ("val", "test") if name in index.splits), None)
        if name is None:
            return None
        pairs = self._pairs(Split(self.store, index, name), index, self.framing.crop_px)
        return paired.Validation(pairs, self.channels[0])

    def _pairs(self, split: Split, index: Index, size_px: int) -> Files[int]:
        """uint8 `[channels_a + channels_b, size_px, size_px]`."""
        if index.layout == "two_folders":
            return split.pictures(self.channels, partial(_stack, size_px=size_px))
        return split.pictures([3], partial(_halves, channels=self.channels, size_px=size_px, left=self.left))


def _stack(pictures: list[Tensor], size_px: int) -> Tensor:
    return torch.cat([images.resize(picture, size_px, size_px) for picture in pictures])


def _halves(pictures: list[Tensor], channels: tuple[int, int], size_px: int, left: str) -> Tensor:
    return paired.halves(pictures[0], channels, size_px, left)


def _check(index: Index) -> Index:
    if index.layout == "unpaired":
        raise EnvironmentFault("these shards hold pictures that do not correspond; `type: unpaired_shards` reads them")
    return index


class _Training(paired.Training):
    def __init__(self, pairs: Files[int], channels_a: int, framing: Framing, split: Split, mix_shards: int) -> None:
        super().__init__(pairs, channels_a, framing)
        self.split, self.mix_shards = split, mix_shards

    def order(self, rng: random.Random) -> Sequence[int]:
        numbers: list[int] = self.split.order(rng, self.mix_shards).tolist()
        return numbers
