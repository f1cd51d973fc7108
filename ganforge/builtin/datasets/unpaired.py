"""Two folders of pictures that do not correspond: CycleGAN's data."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ganforge import Dataset, Sample, Samples, images
from ganforge.builtin.datasets.archives import UNPAIRED, archive
from ganforge.builtin.datasets.caching import Cache, Pictures, pictures
from ganforge.builtin.datasets.folders import Channels, FolderDataset, Folders, Pixels, read_square
from ganforge.builtin.datasets.framing import Framed, Framing


class Domains(Dataset):
    """What batches of two domains hold, wherever the pictures lie."""

    resizer = images.RESIZER
    framing: Framing
    channels: tuple[int, int]
    """How many channels the pictures of domains A and B have."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        side = self.framing.crop_px
        return {field: (c, side, side) for field, c in zip(("real_a", "real_b"), self.channels, strict=True)}


class UnpairedFolders(FolderDataset, Domains):
    """Pictures of two domains that do not correspond, in the folders trainA, trainB and, if there are, valA, valB or
    testA, testB.

    Training: picture i of A with a random one of B, each resized to `load_px`, cropped to `crop_px` at random and
    mirrored at random, on its own. Validation: picture i of both val folders, or else test folders, resized to
    `crop_px`. The longer folder says how many samples there are; the shorter one starts over.
    Fields: `real_a`, `real_b`, float `[channels_a or channels_b, crop_px, crop_px]` in `[-1, 1]`.
    As in Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017.

    Args:
        root: the folder with the four folders; relative to the working directory.
        load_px: the side of a picture before the crop; null resizes to `crop_px` straight away.
        crop_px: the side of a sample.
        flip: mirror left to right with probability 1/2.
        channels_a: of domain A: 3 for RGB, 1 for grey.
        channels_b: of domain B.
        cache: `memory` reads and resizes every picture once, before the first step; `device` keeps them on the GPU.
        download: the published benchmark to fetch into `root` if it is not there, such as horse2zebra.

    Raises:
        ValueError: `load_px` is smaller than `crop_px`; there is no such benchmark.
    """

    def __init__(
        self,
        root: Path,
        load_px: Pixels | None = 286,
        crop_px: Pixels = 256,
        flip: bool = True,
        channels_a: Channels = 3,
        channels_b: Channels = 3,
        cache: Cache = "none",
        download: str | None = None,
    ) -> None:
        self.root = root.expanduser()
        self.folders = Folders(self.root, "two_domains")
        self.framing = Framing(load_px or crop_px, crop_px, flip)
        self.channels = (channels_a, channels_b)
        self.cache = cache
        self.archive = archive(download, UNPAIRED) if download else None

    def prepare(self) -> None:
        self.bring(self.archive, self.root.name if self.root.name in UNPAIRED else "horse2zebra")

    def _samples(self, split: str, framing: Framing) -> Samples:
        kind = _Training if split == "train" else Validation
        return kind(framing, *(self._pictures(split, domain, framing.load_px) for domain in "AB"))

    def _pictures(self, split: str, domain: str, size_px: int) -> Pictures:
        read = partial(read_square, channels=self.channels["AB".index(domain)], size_px=size_px)
        return pictures(self.folders.layout.pictures(split, domain), read, self.cache, self.skips_bad)


class _Training(Framed):
    """A picture of A with a random one of B."""

    def sample(self, index: int, rng: random.Random) -> Sample:
        a, b = self.held
        partner = rng.randrange(len(b))
        return {
            "real_a": self.framing.augment(a[index % len(a)], rng),
            "real_b": self.framing.augment(b[partner], rng),
        }

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        a, b = self.held
        partners = [rng.randrange(len(b)) for rng in rngs]
        return {
            "real_a": self.framing.batch(a, [index % len(a) for index in indices], rngs),
            "real_b": self.framing.batch(b, partners, rngs),
        }


class Validation(Framed):
    """Pictures of the same number; the shorter domain starts over."""

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {name: each[index % len(each)] for name, each in zip(("real_a", "real_b"), self.held, strict=True)}
