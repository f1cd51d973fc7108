"""Pixels taken from elsewhere in the same picture, or map."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge import Pixels

Fill = Literal["black", "mirror", "edge"]
"""What stands where the picture ends: black, the picture mirrored, or its last pixels."""
_PADDING = {"black": "zeros", "mirror": "reflection", "edge": "border"}


class Places:
    """Where each pixel of a picture `[C, H, W]` is taken from: at first where it is. In pixels, from the centre."""

    def __init__(self, picture: Tensor) -> None:
        height, width = picture.shape[-2:]
        down, right = (torch.arange(side, device=picture.device) - (side - 1) / 2 for side in (height, width))
        self.y, self.x = down[:, None].expand(height, width), right[None].expand(height, width)

    def shift(self, right: float | Tensor, down: float | Tensor) -> Places:
        """Move the picture so many pixels."""
        self.x, self.y = self.x - right, self.y - down
        return self

    def turn(self, degrees: float) -> Places:
        """Turn the picture about its centre, against the clock."""
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        self.x, self.y = cosine * self.x - sine * self.y, sine * self.x + cosine * self.y
        return self

    def scale(self, factor: float) -> Places:
        """Enlarge the picture about its centre."""
        self.x, self.y = self.x / factor, self.y / factor
        return self

    def shear(self, degrees: float) -> Places:
        """Lean the picture to the right."""
        self.x = self.x + math.tan(math.radians(degrees)) * self.y
        return self

    def taken(self, picture: Tensor, fill: Fill, pixels: Pixels) -> Tensor:
        """The picture, or map, `[C, H, W]`, with its pixels taken from there: in between they are interpolated where
        that means something, else the nearest is taken."""
        height, width = picture.shape[-2:]
        values = picture if picture.is_floating_point() else picture.double()  # whole numbers, exactly
        places = torch.stack((self.x * (2 / width), self.y * (2 / height)), -1).to(values.dtype)
        mode = "bilinear" if pixels.smooth else "nearest"
        found = F.grid_sample((values - pixels.black)[None], places[None], mode, _PADDING[fill], align_corners=False)
        return (found[0] + pixels.black).to(picture.dtype)
