"""How pictures become training samples: resized, cropped at random, mirrored at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import default_collate

from ganforge import Samples, images
from ganforge.builtin.datasets.caching import Pictures


@dataclass(frozen=True)
class Framing:
    """Pictures of `load_px` x `load_px`, cropped to `crop_px` x `crop_px` and, if asked, mirrored.

    Raises:
        ValueError: the crop is larger than what is loaded.
    """

    load_px: int
    crop_px: int
    flip: bool

    def __post_init__(self) -> None:
        if self.load_px < self.crop_px:
            raise ValueError(
                f"cannot crop {self.crop_px} px from pictures of {self.load_px} px; "
                f"raise load_px to at least {self.crop_px}, or lower crop_px to at most {self.load_px}"
            )

    @property
    def whole(self) -> Framing:
        """Nothing cut off, nothing mirrored: for validation."""
        return Framing(self.crop_px, self.crop_px, False)

    def augment(self, picture: Tensor, rng: random.Random) -> Tensor:
        """uint8 `[C, load_px, load_px]` to `[C, crop_px, crop_px]`."""
        top, left, mirrored = self._draw(rng)
        crop = picture[:, top : top + self.crop_px, left : left + self.crop_px]
        return crop.flip(-1) if mirrored else crop

    def batch(self, held: Pictures, indices: Sequence[int], rngs: Sequence[random.Random]) -> Tensor:
        """`augment` of each of these pictures: uint8 `[N, C, crop_px, crop_px]`."""
        if isinstance(held, Tensor) and held.device.type != "cpu" and len(indices) > 1:
            return self.gather(held, indices, rngs)  # one alone is a view, quicker than sending places
        return default_collate([self.augment(held[index], rng) for index, rng in zip(indices, rngs, strict=True)])

    def gather(self, held: Tensor, indices: Sequence[int], rngs: Sequence[random.Random]) -> Tensor:
        """`batch` as one kernel: the host sends the places of rows and columns, and waits for nothing."""
        drawn = [(index, *self._draw(rng)) for index, rng in zip(indices, rngs, strict=True)]
        last = self.crop_px - 1
        numbers = [(i, top, left + last if mirrored else left, 1 - 2 * mirrored) for i, top, left, mirrored in drawn]
        picks, tops, starts, strides = torch.tensor(numbers).T[..., None]
        channels, steps = held.shape[1], torch.arange(self.crop_px)
        places = torch.cat((picks * channels + torch.arange(channels), tops + steps, starts + strides * steps), 1)
        planes, rows, columns = images.upload(places, held.device).split((channels, self.crop_px, self.crop_px), 1)
        return held.flatten(0, 1)[planes[:, :, None, None], rows[:, None, :, None], columns[:, None, None, :]]

    def _draw(self, rng: random.Random) -> tuple[int, int, bool]:
        """Top, left, and whether to mirror."""
        room = self.load_px - self.crop_px
        return rng.randint(0, room), rng.randint(0, room), self.flip and rng.random() < 0.5


class Framed(Samples):
    """Samples of pictures that are framed; of several kinds the longest says how many there are."""

    def __init__(self, framing: Framing, *held: Pictures) -> None:
        self.framing, self.held = framing, held
        self.in_workers = all(not isinstance(each, Tensor) or each.device.type == "cpu" for each in held)

    def __len__(self) -> int:
        return max(map(len, self.held))
