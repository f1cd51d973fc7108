"""Pictures that correspond pixel by pixel: pix2pix's data."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ganforge import Sample, Samples, images
from ganforge.builtin.datasets.archives import PAIRED, archive
from ganforge.builtin.datasets.caching import Cache, Pictures, pictures
from ganforge.builtin.datasets.folders import Channels, FolderDataset, Folders, Pixels, read_square
from ganforge.builtin.datasets.framing import Framed, Framing
from ganforge.builtin.datasets.unpaired import Domains


class Pairs(Domains):
    """What batches of pairs hold, wherever the pictures lie."""

    def truths(self) -> Mapping[str, str]:
        return {"real_a": "real_b", "real_b": "real_a"}


class PairedFolders(FolderDataset, Pairs):
    """Pairs of pictures that correspond pixel by pixel: both get the same random crop and the same mirroring.

    `side_by_side`: one file a pair, in the folders train and, for validation, val or test. `two_folders`: files of
    equal names in trainA and trainB and, for validation, in valA and valB or testA and testB.
    Fields: `real_a`, `real_b`, float `[channels_a or channels_b, crop_px, crop_px]` in `[-1, 1]`; validation samples
    are resized to `crop_px`. As in Isola et al., Image-to-Image Translation with Conditional Adversarial Networks,
    CVPR 2017.

    Args:
        root: the folder with these folders; relative to the working directory.
        layout: how the pairs are stored.
        left: which of the two, `real_a` or `real_b`, is the left half of a side-by-side picture.
        load_px: the side of a picture before the crop; null resizes to `crop_px` straight away.
        crop_px: the side of a sample.
        flip: mirror left to right with probability 1/2.
        channels_a: of `real_a`: 3 for RGB, 1 for grey.
        channels_b: of `real_b`.
        cache: `memory` reads and resizes every picture once, before the first step; `device` keeps them on the GPU.
        download: the published benchmark to fetch into `root` if it is not there, such as pix2pix_facades.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; there is no such benchmark.
    """

    def __init__(
        self,
        root: Path,
        layout: Literal["side_by_side", "two_folders"] = "side_by_side",
        left: Literal["a", "b"] = "a",
        load_px: Pixels | None = 286,
        crop_px: Pixels = 256,
        flip: bool = True,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        cache: Cache = "none",
        download: str | None = None,
    ) -> None:
        self.root = root.expanduser()
        self.layout, self.left = layout, left
        self.folders = Folders(self.root, "pairs" if layout == "side_by_side" else "two_folders")
        self.framing = Framing(load_px or crop_px, crop_px, flip)
        self.channels = (channels_a, channels_b)
        self.cache = cache
        self.archive = archive(download, PAIRED) if download else None

    def fields_in(self, height_px: int, width_px: int) -> Mapping[str, tuple[int, int, int, int]]:
        return side_by_side(height_px, width_px, self.left) if self.layout == "side_by_side" else {}

    def partner(self, file: Path, field: str) -> Path | None:
        own, other = ("A", "B") if field == "real_a" else ("B", "A")
        for folder in file.parents if self.layout == "two_folders" else ():
            there = folder.with_name(f"{folder.name.removesuffix(own)}{other}")
            if folder.name.endswith(own) and there.is_dir():
                named = there / file.relative_to(folder)
                return next((path for path in sorted(named.parent.glob("*")) if path.stem == named.stem), None)
        return None

    def prepare(self) -> None:
        self.bring(self.archive, "pix2pix_facades")

    def _samples(self, split: str, framing: Framing) -> Samples:
        return PairSamples(framing, self._pairs(split, framing.load_px), self.channels[0])

    def _pairs(self, split: str, size_px: int) -> Pictures:
        """uint8 `[channels_a + channels_b, size_px, size_px]`: one picture on the other, so that they stay aligned."""
        if self.layout == "two_folders":
            read_two = partial(_read_two, channels=self.channels, size_px=size_px)
            return pictures(self.folders.layout.pairs(split), read_two, self.cache, self.skips_bad)
        read = partial(_read_halves, channels=self.channels, size_px=size_px, left=self.left)
        return pictures(self.folders.layout.pictures(split), read, self.cache, self.skips_bad)


def side_by_side(height_px: int, width_px: int, left: str) -> Mapping[str, tuple[int, int, int, int]]:
    """Where a pair lies in a file about twice as wide as high, or wider still; `left` is `a` or `b`."""
    if width_px < 1.9 * height_px:
        return {}
    half_px = width_px // 2
    halves = (0, 0, height_px, half_px), (0, half_px, height_px, width_px - half_px)
    return dict(zip(("real_a", "real_b"), halves if left == "a" else halves[::-1], strict=True))


def _read_two(pair: tuple[Path, Path], channels: tuple[int, int], size_px: int) -> Tensor:
    return torch.cat([read_square(path, count, size_px) for path, count in zip(pair, channels, strict=True)])


def _read_halves(path: Path, channels: tuple[int, int], size_px: int, left: str) -> Tensor:
    return halves(images.read_image(path), channels, size_px, left)


def halves(whole: Tensor, channels: Sequence[int], size_px: int, left: str) -> Tensor:
    """uint8 `[channels_a + channels_b, size_px, size_px]` of a side-by-side picture; `left` is `a` or `b`."""
    half_px = whole.shape[2] // 2
    both = [whole[:, :, :half_px], whole[:, :, half_px:]]
    if left == "b":
        both.reverse()
    squares = (images.resize(half, size_px, size_px) for half in both)
    return torch.cat(
        [images.to_grey(square) if count == 1 else square for square, count in zip(squares, channels, strict=True)]
    )


class PairSamples(Framed):
    """Pairs, each a picture `[channels_a + channels_b, load_px, load_px]`, framed as one."""

    def __init__(self, framing: Framing, pairs: Pictures, channels_a: int) -> None:
        super().__init__(framing, pairs)
        self.channels_a = channels_a

    def sample(self, index: int, rng: random.Random) -> Sample:
        return self._fields(self.framing.augment(self.held[0][index], rng))

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return self._fields(self.framing.batch(self.held[0], indices, rngs))

    def _fields(self, pairs: Tensor) -> Sample:
        """The two pictures of `[..., channels_a + channels_b, H, W]`."""
        a, b = pairs.tensor_split([self.channels_a], -3)
        return {"real_a": a, "real_b": b}
