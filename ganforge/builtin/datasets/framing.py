"""How a picture becomes a training sample: resized, cropped at random, mirrored at random."""

from __future__ import annotations

import random
from dataclasses import dataclass

from torch import Tensor

from ganforge import images


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

    def augment(self, picture: Tensor, rng: random.Random) -> Tensor:
        """uint8 `[C, load_px, load_px]` to float `[C, crop_px, crop_px]` in `[-1, 1]`."""
        picture = images.random_crop(picture, self.crop_px, rng)
        if self.flip:
            picture = images.random_flip(picture, rng)
        return images.to_float(picture)
