"""The sizes of pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.images.late_torchvision import transforms
from ganforge.images.values import to_float, to_uint16

RESIZER = "bicubic, antialiased, on bytes, by torchvision"
"""What `resize` does."""


def resize(image: Tensor, height_px: int, width_px: int) -> Tensor:
    """uint8 or uint16 `[..., C, H, W]` resized with an antialiased bicubic filter, whatever its proportions were."""
    deep = image.dtype == torch.uint16  # which torchvision's filter does not take
    bicubic = transforms().InterpolationMode.BICUBIC
    resized = transforms().resize(to_float(image) if deep else image, [height_px, width_px], bicubic, antialias=True)
    return to_uint16(resized) if deep else resized


def centre_square(image: Tensor) -> Tensor:
    """The largest centred square of `[..., H, W]`."""
    side = min(image.shape[-2:])
    return transforms().center_crop(image, [side])
