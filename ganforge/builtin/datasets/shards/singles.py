"""Single pictures from shards, with a class or without."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import torch
from pydantic import Field

from ganforge import EnvironmentFault, Sample, Samples, images
from ganforge.builtin.datasets.folders import Channels
from ganforge.builtin.datasets.framing import Fit, Framing, Scale, Size
from ganforge.builtin.datasets.shards.cache import FOLDER, Gibibytes
from ganforge.builtin.datasets.shards.datasets import MixShards, Shards, Split, single
from ganforge.builtin.datasets.shards.index import Index
from ganforge.builtin.datasets.shards.store import open_store
from ganforge.builtin.datasets.singles import Pictured, SinglePictures, WithClasses


class ImageShards(Shards, SinglePictures):
    """Pictures in tar shards that `ganforge data pack --layout one_folder` made, for models that make pictures from
    noise.

    As `image_folder`, for data larger than memory, a disk or a file system's patience. An epoch shows each picture
    once, in an order that is near the shards'.
    Fields: those of `image_folder`; validation samples are those of val or else test.

    Args:
        root: the folder with the shards, or its URL: `https://`, `http://` or `file://`.
        load_px: the size of a picture before the crop, the side of a square or [height, width]; `crop_px` if left out.
        crop_px: the size of a sample, the side of a square or [height, width].
        flip: mirror left to right with probability 1/2.
        channels: 3 for RGB, 1 for grey, 4 and 2 for those with transparency, and as many as the files have.
        mix_shards: samples are shuffled among so many shards of a shuffled list.
        cache_dir: where shards from a URL are kept; all processes of a machine may share it.
        cache_gib: how much they may take; those unused for longest leave first.
        fit: how a picture of other proportions is brought to `load_px`, as in `image_folder`.
        scale_px: for `fit: none`, what the shorter side becomes, or `{longer: 512}`.
        mask: for `fit: contain`, whether samples say where the picture is.
        depth: bits of a channel in files: 8 or 16, or `float`.
        range: which values are black and white, as in `image_folder`.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; options that do not go together; `root` is a URL of another
            kind.
    """

    kind = "image_shards"

    def __init__(
        self,
        root: str,
        load_px: Size | None = None,
        crop_px: Size = 256,
        flip: bool = True,
        channels: Channels = 3,
        mix_shards: MixShards = 4,
        cache_dir: str = FOLDER,
        cache_gib: Gibibytes = 32,
        fit: Fit = "cover",
        scale_px: Scale | None = None,
        mask: bool = False,
        depth: images.Depth = 8,
        range: images.Range = None,
    ) -> None:
        self.store = open_store(root, cache_dir, cache_gib)
        self.framing = Framing.of(load_px, crop_px, flip, fit, scale_px, mask)
        self.stored = images.Storage(channels, depth, range)
        self.mix_shards = mix_shards

    def train(self) -> Samples:
        return self._samples(Split(self.store, self.index(), "train"), self.framing)

    def validation(self) -> Samples | None:
        index = self.index()
        name = next((name for name in ("val", "test") if name in index.splits), None)
        return self._samples(Split(self.store, index, name), self.framing.whole) if name else None

    def _samples(self, split: Split, framing: Framing) -> Samples:
        return _Singles(self, split, framing)


class ClassShards(WithClasses, ImageShards):
    """Pictures with a class each, in tar shards that `ganforge data pack --layout classes` made.

    As `image_shards`. Fields: those of `class_folders`; the pack knows the names of the classes.

    Args:
        root: the folder with the shards, or its URL: `https://`, `http://` or `file://`.
        classes: how many there are, so that a recipe can be checked without them.
        load_px: the size of a picture before the crop, the side of a square or [height, width]; `crop_px` if left out.
        crop_px: the size of a sample, the side of a square or [height, width].
        flip: mirror left to right with probability 1/2.
        channels: 3 for RGB, 1 for grey, 4 and 2 for those with transparency, and as many as the files have.
        mix_shards: samples are shuffled among so many shards of a shuffled list.
        cache_dir: where shards from a URL are kept; all processes of a machine may share it.
        cache_gib: how much they may take; those unused for longest leave first.
        fit: how a picture of other proportions is brought to `load_px`, as in `image_folder`.
        scale_px: for `fit: none`, what the shorter side becomes, or `{longer: 512}`.
        mask: for `fit: contain`, whether samples say where the picture is.
        depth: bits of a channel in files: 8 or 16, or `float`.
        range: which values are black and white, as in `image_folder`.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; options that do not go together; `root` is a URL of another
            kind.
    """

    kind = "class_shards"

    def __init__(
        self,
        root: str,
        classes: Annotated[int, Field(ge=1)],
        load_px: Size | None = None,
        crop_px: Size = 256,
        flip: bool = True,
        channels: Channels = 3,
        mix_shards: MixShards = 4,
        cache_dir: str = FOLDER,
        cache_gib: Gibibytes = 32,
        fit: Fit = "cover",
        scale_px: Scale | None = None,
        mask: bool = False,
        depth: images.Depth = 8,
        range: images.Range = None,
    ) -> None:
        cached = (mix_shards, cache_dir, cache_gib)
        super().__init__(root, load_px, crop_px, flip, channels, *cached, fit, scale_px, mask, depth, range)
        self.classes = classes

    def check(self, index: Index) -> Index:
        """The index, if it is of the kind that this dataset reads."""
        index = super().check(index)
        if len(index.classes) != self.classes:
            raise EnvironmentFault(f"these shards hold {len(index.classes)} classes", "correct `root` or `classes`")
        return index

    def _samples(self, split: Split, framing: Framing) -> Samples:
        return _Labelled(self, split, framing)


class _Singles(Pictured):
    def __init__(self, dataset: ImageShards, split: Split, framing: Framing) -> None:
        read = split.pictures([dataset.stored], partial(single, framing=framing))
        super().__init__(framing, read, dataset.stored.channels)
        self.split, self.mix_shards, self.ordered = split, dataset.mix_shards, not framing.centred

    def order(self, rng: random.Random) -> Sequence[int] | None:
        numbers: list[int] = self.split.order(rng, self.mix_shards).tolist()
        return numbers if self.ordered else None


class _Labelled(_Singles):
    def sample(self, index: int, rng: random.Random) -> Sample:
        return {**super().sample(index, rng), "label": torch.tensor(self.split.label(index))}

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        labels = torch.tensor([self.split.label(index) for index in indices])
        return {**super().batch(indices, rngs), "label": labels}
