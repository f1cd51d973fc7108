"""Two folders of pictures that do not correspond: CycleGAN's data."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganforge import Sample, Samples, images
from ganforge.builtin.datasets.archives import UNPAIRED, archive
from ganforge.builtin.datasets.caching import Cache, Pictures, pictures
from ganforge.builtin.datasets.folders import Channels, FolderDataset, Folders, Reader
from ganforge.builtin.datasets.framing import LOAD_PX, Fit, Framed, FramedDataset, Framing, Layers, Scale, Size
from ganforge.builtin.datasets.layout.model import Folder


class Domains(FramedDataset):
    """What batches of two domains hold, wherever the pictures lie."""

    stored: tuple[images.Storage, images.Storage]
    """How the pictures of domains A and B are stored."""

    @property
    def channels(self) -> dict[str, int]:
        """How many channels the pictures of both domains have."""
        return {name: storage.channels for name, storage in self.storage().items()}

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self.framing.shapes(self.channels)

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return self.framing.dtypes(self.channels)

    def groups(self) -> Sequence[Sequence[str]]:
        return [list(self.framing.shapes({name: count})) for name, count in self.channels.items()]

    def storage(self) -> Mapping[str, images.Storage]:
        return dict(zip(("real_a", "real_b"), self.stored, strict=True))


class UnpairedFolders(FolderDataset, Domains):
    """Pictures of two domains that do not correspond, in the folders trainA, trainB and, if there are, valA, valB or
    testA, testB.

    Training: picture i of A with a random one of B, each resized to `load_px`, cropped to `crop_px` at random and
    mirrored at random, on its own. Validation: picture i of both val folders, or else test folders, resized to
    `crop_px`. The longer folder says how many samples there are; the shorter one starts over.
    Fields: `real_a`, `real_b`, float `[channels_a or channels_b, *crop_px]` in `[-1, 1]`.
    As in Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, ICCV 2017.

    Args:
        root: the folder with the four folders; relative to the working directory.
        load_px: the size of a picture before the crop, the side of a square or [height, width]; null takes `crop_px`
            straight away.
        crop_px: the size of a sample, the side of a square or [height, width].
        flip: mirror left to right with probability 1/2.
        channels_a: of domain A: 3 for RGB, 1 for grey, 4 and 2 for those with transparency, and as many as the files
            have.
        channels_b: of domain B.
        cache: `memory` reads and resizes every picture once, before the first step; `device` keeps them on the GPU.
        download: the published benchmark to fetch into `root` if it is not there, such as horse2zebra.
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
        self.folders = Folders(self.root, "two_domains")
        self.framing = Framing.of(load_px, crop_px, flip, fit, scale_px, mask)
        self.stored = images.Storage(channels_a, depth_a, range_a), images.Storage(channels_b, depth_b, range_b)
        self.cache = cache
        self.archive = archive(download, UNPAIRED) if download else None

    def prepare(self) -> None:
        self.bring(self.archive, self.root.name if self.root.name in UNPAIRED else "horse2zebra")

    def storage_of(self, folder: Folder) -> images.Storage:
        return self.stored["AB".index(folder.domain)]

    def _samples(self, split: str, framing: Framing) -> Samples:
        kind = _Training if split == "train" else Validation
        return kind(framing, self.channels, *(self._pictures(split, domain, framing) for domain in "AB"))

    def _pictures(self, split: str, domain: str, framing: Framing) -> Pictures:
        read = Reader(self.stored["AB".index(domain)], framing)
        found = self.folders.layout.pictures(split, domain)
        return pictures(found, read, self.cache, self.skips_bad, framing.one_size)


class TwoFramed(Framed):
    """Pictures of two domains, each framed by itself."""

    def __init__(self, framing: Framing, channels: Mapping[str, int], *held: Pictures) -> None:
        super().__init__(framing, *held)
        self.layers = [Layers.of({name: count}, framing) for name, count in channels.items()]

    def fields(self, *framed: Tensor) -> Sample:
        """The fields of a picture, or a batch, of A and of B."""
        a, b = (layers.fields(each) for layers, each in zip(self.layers, framed, strict=True))
        return {**a, **b}


class _Training(TwoFramed):
    """A picture of A with a random one of B."""

    def sample(self, index: int, rng: random.Random) -> Sample:
        a, b = self.held
        partner = rng.randrange(len(b))
        return self.fields(self.framing.augment(a[index % len(a)], rng), self.framing.augment(b[partner], rng))

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        a, b = self.held
        partners = [rng.randrange(len(b)) for rng in rngs]
        of_a = self.framing.batch(a, [index % len(a) for index in indices], rngs)
        return self.fields(of_a, self.framing.batch(b, partners, rngs))


class Validation(TwoFramed):
    """Pictures of the same number; the shorter domain starts over."""

    def sample(self, index: int, rng: random.Random) -> Sample:
        return self.fields(*(each[index % len(each)] for each in self.held))
