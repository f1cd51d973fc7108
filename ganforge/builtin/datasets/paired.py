"""Pictures that correspond pixel by pixel: pix2pix's data."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ganforge import BadFile, Sample, Samples, images
from ganforge.builtin.datasets.archives import PAIRED, archive
from ganforge.builtin.datasets.caching import Cache, Pictures, pictures
from ganforge.builtin.datasets.fitting import refuse_two_sizes
from ganforge.builtin.datasets.folders import TOO_SMALL, Channels, FolderDataset, Folders
from ganforge.builtin.datasets.framing import LOAD_PX, Fit, Framed, Framing, Layers, Scale, Size
from ganforge.builtin.datasets.layout.model import Folder
from ganforge.builtin.datasets.unpaired import Domains

Stored = tuple[images.Storage, images.Storage]


class Pairs(Domains):
    """What batches of pairs hold, wherever the pictures lie."""

    def groups(self) -> Sequence[Sequence[str]]:
        return [list(self.shapes())]

    def truths(self) -> Mapping[str, str]:
        return {"real_a": "real_b", "real_b": "real_a"}


class PairedFolders(FolderDataset, Pairs):
    """Pairs of pictures that correspond pixel by pixel: both get the same random crop and the same mirroring.

    `side_by_side`: one file a pair, in the folders train and, for validation, val or test. `two_folders`: files of
    equal names in trainA and trainB and, for validation, in valA and valB or testA and testB.
    Fields: `real_a`, `real_b`, float `[channels_a or channels_b, *crop_px]` in `[-1, 1]`; validation samples
    are resized to `crop_px`. As in Isola et al., Image-to-Image Translation with Conditional Adversarial Networks,
    CVPR 2017.

    Args:
        root: the folder with these folders; relative to the working directory.
        layout: how the pairs are stored.
        left: which of the two, `real_a` or `real_b`, is the left half of a side-by-side picture.
        load_px: the size of a picture before the crop, the side of a square or [height, width]; null takes `crop_px`
            straight away.
        crop_px: the size of a sample, the side of a square or [height, width].
        flip: mirror left to right with probability 1/2.
        channels_a: of domain A: 3 for RGB, 1 for grey, 4 and 2 for those with transparency, and as many as the files
            have.
        channels_b: of domain B.
        cache: `memory` reads and resizes every picture once, before the first step; `device` keeps them on the GPU.
        download: the published benchmark to fetch into `root` if it is not there, such as pix2pix_facades.
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
        ValueError: `load_px` is smaller than `crop_px`; options that do not go together; there is no such benchmark.
    """

    def __init__(
        self,
        root: Path,
        layout: Literal["side_by_side", "two_folders"] = "side_by_side",
        left: Literal["a", "b"] = "a",
        load_px: Size | None = LOAD_PX,
        crop_px: Size = 256,
        flip: bool = True,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        cache: Cache = "none",
        download: str | None = None,
        fit: Fit = "squeeze",
        scale_px: Scale | None = None,
        mask: bool = False,
        depth_a: images.Depth = 8,
        depth_b: images.Depth = 8,
        range_a: images.Range = None,
        range_b: images.Range = None,
    ) -> None:
        self.root = root.expanduser()
        self.layout, self.left = layout, left
        self.folders = Folders(self.root, "pairs" if layout == "side_by_side" else "two_folders")
        self.framing = Framing.of(load_px, crop_px, flip, fit, scale_px, mask)
        self.stored = images.Storage(channels_a, depth_a, range_a), images.Storage(channels_b, depth_b, range_b)
        self.cache = cache
        self.archive = archive(download, PAIRED) if download else None

    def fields_in(self, height_px: int, width_px: int) -> Mapping[str, tuple[int, int, int, int]]:
        return side_by_side(height_px, width_px, self.left) if self.layout == "side_by_side" else {}

    def partner(self, file: Path, field: str) -> Path | None:
        own, other = ("A", "B") if field == "real_a" else ("B", "A")
        for folder in file.parents if self.layout == "two_folders" else ():
            if not folder.name.endswith(own):
                continue
            there = folder.with_name(f"{folder.name.removesuffix(own)}{other}")
            if there.is_dir():
                named = there / file.relative_to(folder)
                return next((path for path in sorted(named.parent.glob("*")) if path.stem == named.stem), None)
        return None

    def prepare(self) -> None:
        self.bring(self.archive, "pix2pix_facades")
        if self.layout == "two_folders" and not self.framing.one_size and not self.skips_bad:
            layout = self.folders.layout
            for split in ("train", layout.validation):
                pairs = layout.pairs(split) if split else []
                refuse_two_sizes([list(zip(pair, self.stored, strict=True)) for pair in pairs])

    def storage_of(self, folder: Folder) -> images.Storage:
        return self.stored["AB".index(folder.domain)] if folder.domain else wider(self.stored)

    def _samples(self, split: str, framing: Framing) -> Samples:
        return PairSamples(framing, self._pairs(split, framing), self.channels)

    def _pairs(self, split: str, framing: Framing) -> Pictures:
        """Pairs as `stacked` makes them."""
        layout, one_size = self.folders.layout, framing.one_size
        if self.layout == "two_folders":
            read_two = partial(_read_two, stored=self.stored, framing=framing)
            return pictures(layout.pairs(split), read_two, self.cache, self.skips_bad, one_size)
        read = partial(_read_halves, stored=self.stored, framing=framing, left=self.left)
        return pictures(layout.pictures(split), read, self.cache, self.skips_bad, one_size)


def side_by_side(height_px: int, width_px: int, left: str) -> Mapping[str, tuple[int, int, int, int]]:
    """Where a pair lies in a file about twice as wide as high, or wider still; `left` is `a` or `b`."""
    if width_px < 1.9 * height_px:
        return {}
    half_px = width_px // 2
    halves = (0, 0, height_px, half_px), (0, half_px, height_px, width_px - half_px)
    return dict(zip(("real_a", "real_b"), halves if left == "a" else halves[::-1], strict=True))


def _read_two(pair: tuple[Path, Path], stored: Stored, framing: Framing) -> Tensor:
    a, b = (storage.read(path) for path, storage in zip(pair, stored, strict=True))
    try:
        return stacked([framing.bring(a), framing.bring(b)])
    except ValueError as error:
        raise BadFile(f"cannot use the pair {pair[0]} and {pair[1]}: {error}", TOO_SMALL) from error


def _read_halves(path: Path, stored: Stored, framing: Framing, left: str) -> Tensor:
    whole = wider(stored).read(path)
    try:
        return halves(whole, stored, framing, left)
    except ValueError as error:
        raise BadFile(f"cannot use the pair {path}: {error}", TOO_SMALL) from error


def wider(stored: Stored) -> images.Storage:
    """How files are read that hold a picture of each domain: with the channels of the one that has more."""
    return max(stored, key=lambda storage: storage.channels)


def halves(whole: Tensor, stored: Stored, framing: Framing, left: str) -> Tensor:
    """A side-by-side picture, as `wider` reads it, as `stacked` makes pairs; `left` is `a` or `b`.

    Raises:
        ValueError: a half is smaller than a sample.
    """
    half_px = whole.shape[2] // 2
    both = [whole[:, :, :half_px], whole[:, :, half_px:]]
    if left == "b":
        both.reverse()
    brought = (framing.bring(half) for half in both)
    masked, pieces = int(framing.mask), []
    for storage, half in zip(stored, brought, strict=True):
        picture, mask = half.split([len(half) - masked, masked])
        pieces.append(torch.cat((images.with_channels(picture, storage.channels), mask)))
    return stacked(pieces)


def stacked(both: Sequence[Tensor]) -> Tensor:
    """One picture on the other, so that they are framed alike: `[channels_a + channels_b, H, W]`, with masks behind
    each. Of two types, floats in `[-1, 1]`.

    Raises:
        ValueError: they are of different sizes.
    """
    a, b = both
    if a.shape[1:] != b.shape[1:]:
        sizes = " and ".join(f"{each.shape[2]}x{each.shape[1]}" for each in both)
        raise ValueError(f"they are of different sizes, {sizes}, and `fit: none` scales nothing")
    return torch.cat((a, b) if a.dtype == b.dtype else (images.to_float(a), images.to_float(b)))


class PairSamples(Framed):
    """Pairs as `stacked` makes them, framed as one."""

    def __init__(self, framing: Framing, pairs: Pictures, channels: Mapping[str, int]) -> None:
        super().__init__(framing, pairs)
        self.layers = Layers.of(channels, framing)

    def sample(self, index: int, rng: random.Random) -> Sample:
        return self.layers.fields(self.framing.augment(self.held[0][index], rng))

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return self.layers.fields(self.framing.batch(self.held[0], indices, rngs))
