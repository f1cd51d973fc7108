"""What a dataset promises: its samples, and what can be said of them without a file."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import default_collate

from ganforge.images.storage import Storage

Sample = dict[str, Tensor]


def is_picture(name: str, shapes: Mapping[str, tuple[int, ...]], dtypes: Collection[str]) -> bool:
    """Whether a field is taken for a picture: `[C, H, W]`, and not named in `dtypes()`."""
    return len(shapes.get(name, ())) == 3 and name not in dtypes


class Samples(ABC):
    """A split of a dataset: so many samples, each a dict of tensors without the batch dimension."""

    in_workers: bool = True
    """Whether worker processes may make the samples: not where these lie on a GPU."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples one epoch has."""

    @abstractmethod
    def sample(self, index: int, rng: random.Random) -> Sample:
        """Sample `index` in `[0, len)`.

        Images are `[C, H, W]`: float in `[-1, 1]`, or uint8 in 0..255 or uint16 in 0..65535, which the engine turns
        into float on the device (a quarter, or a half, of the bytes travels there). All randomness (crops, flips,
        pairings) must come from `rng`, which the engine seeds by (seed, epoch, index): then the number of workers
        changes nothing.
        """

    def order(self, rng: random.Random) -> Sequence[int] | None:
        """The order in which an epoch shows the samples, drawn from `rng`; None, as here: any, well shuffled.

        Where neighbours should be read together, as in archives, an order keeps them near each other. Then every lane
        of the batch (each rank, where there are several) is given a stretch of it of its own, so that an archive is
        read by one of them. The numbers, `len(self)` at least, are handed to `sample` and `batch` as they are.
        """
        return None

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        """The samples of these indices, each drawn from its own generator: fields `[N, ...]`.

        Override it where many at once are quicker than one by one; the values must be the same.
        """
        return default_collate([self.sample(index, rng) for index, rng in zip(indices, rngs, strict=True)])


class Dataset(ABC):
    """Training samples and, where there are some, validation samples.

    The constructor takes the recipe's options and touches no file: `ganforge check` builds datasets that are not
    on this machine.
    """

    resizer: str = ""
    """How pictures are resized, in words: metrics depend on it, and an evaluation says it."""

    skips_bad: bool = False
    """Set by the engine where `data.on_bad_file` is `skip`: then `train` and `validation` raise nothing about a single
    file, but the sample that needs it raises `BadFile`, and another one takes its place."""

    @abstractmethod
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The batch fields of a training sample and their shapes without the batch dimension."""

    def dtypes(self) -> Mapping[str, torch.dtype]:
        """The types of the fields that hold no floats, such as `torch.int64` of labels; uint8 and
        uint16 are always pictures. A field of floats that is named is no picture: a mask, a condition."""
        return {}

    def ranges(self) -> Mapping[str, range]:
        """The whole numbers that fields of integers hold, as `{"label": range(10)}`; of a field that is not named,
        nobody knows. `ganforge check` holds what is looked up by them against the sizes of the tables."""
        return {}

    def class_names(self) -> Mapping[str, Sequence[str]]:
        """What the numbers of fields of classes stand for, in their order, as `{"label": ["cat", "dog"]}`; of a field
        that is not named, nobody knows."""
        return {}

    def storage(self) -> Mapping[str, Storage]:
        """How the files of picture fields are stored: their channels, depth and range, as far as they are not plain
        pictures of 8 bits. Translating reads pictures in the same way, and writes results as those of their domain."""
        return {}

    def groups(self) -> Sequence[Sequence[str]]:
        """The fields that correspond pixel by pixel, group by group, such as the pictures of a pair and their masks:
        what an augmentation does to one it does to all. A picture that is in no group is by itself, as all are here."""
        return ()

    def validation_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The batch fields of a validation sample; by default those of a training sample."""
        return self.shapes()

    def known_length(self) -> int | None:
        """How many training samples there are, where that is known without a file; None, as here: it is not.
        `ganforge check` then knows how long an epoch is."""
        return None

    def prepare(self) -> None:  # noqa: B027 - many datasets have nothing to prepare
        """Find, or download, what the samples need. Called once, before the first sample.

        Raises:
            EnvironmentFault: something is missing or broken; the message says what to do.
        """

    def files(self) -> Sequence[Path]:
        """The files that training and validation samples are read from, as far as they are here: a bundle lists their
        names and hashes. Empty where samples are made in memory, or where nobody can say.

        Raises:
            EnvironmentFault: some are missing.
        """
        return ()

    def remarks(self) -> Sequence[str]:
        """What one should know of the data that `prepare` found, in words: what is read for what, what is left out."""
        return ()

    @abstractmethod
    def train(self) -> Samples:
        """The training samples."""

    def validation(self) -> Samples | None:
        """The validation samples, unseen in training and always in the same order."""
        return None

    def fields_in(self, height_px: int, width_px: int) -> Mapping[str, tuple[int, int, int, int]]:
        """Where the fields lie in a file of this size, if it holds several: `(top, left, height, width)` in pixels by
        field. Translating takes the one that it translates, and compares with the truth. Empty, as here, where a file
        is one picture.
        """
        return {}

    def partner(self, file: Path, field: str) -> Path | None:
        """The file that holds the truth of this one, a picture of `field`, where pairs are two files; none, as here,
        where they are not, or it is not there.
        """
        return None

    def truths(self) -> Mapping[str, str]:
        """For a field that is translated, the validation field that the result should equal, where data have it."""
        return {}
