"""The numbers of pictures: their ranges and types, grey of colours, how many there are, and where they lie."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.images.late_torchvision import transforms

WHITE = {torch.uint8: 255, torch.uint16: 65535}
"""The brightest value of whole numbers; of floats it is 1, and black -1."""
RESIZER = "bicubic, antialiased, on bytes, by torchvision"
"""What `resize` does."""


def to_float(image: Tensor) -> Tensor:
    """uint8 in 0..255, or uint16 in 0..65535, to float32 in `[-1, 1]`, of any shape; floats stay as they are."""
    if image.is_floating_point():
        return image
    return image.to(torch.float32).div_(32767.5 if image.dtype == torch.uint16 else 127.5).sub_(1)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device, without waiting for it: a GPU fetches pinned memory while the host goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_uint8(image: Tensor) -> Tensor:
    """Float in `[-1, 1]`, or uint16, to uint8 in 0..255, rounded; values outside are clamped. uint8 stays as it is."""
    if image.dtype == torch.uint8:
        return image
    if image.dtype == torch.uint16:
        return ((image.to(torch.int32) + 128) // 257).to(torch.uint8)
    return image.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def to_uint16(image: Tensor) -> Tensor:
    """Float in `[-1, 1]`, or uint8, to uint16 in 0..65535; otherwise as `to_uint8`."""
    if image.dtype == torch.uint16:
        return image
    if image.dtype == torch.uint8:
        return (image.to(torch.int32) * 257).to(torch.uint16)
    return image.float().add(1).mul_(32767.5).round_().clamp_(0, 65535).to(torch.int32).to(torch.uint16)


def to_grey(image: Tensor) -> Tensor:
    """RGB `[..., 3, H, W]` to luma `[..., 1, H, W]` (ITU-R BT.601)."""
    return transforms().rgb_to_grayscale(image)


def resize(image: Tensor, height_px: int, width_px: int) -> Tensor:
    """`[..., C, H, W]` resized with an antialiased bicubic filter, whatever its proportions were: uint8, uint16, or
    floats, which stay in `[-1, 1]`."""
    deep = image.dtype == torch.uint16  # which torchvision's filter does not take
    bicubic = transforms().InterpolationMode.BICUBIC
    resized = transforms().resize(to_float(image) if deep else image, [height_px, width_px], bicubic, antialias=True)
    if deep:
        return to_uint16(resized)
    return resized.clamp_(-1, 1) if image.is_floating_point() and image.shape[-2:] != (height_px, width_px) else resized


def centre_crop(image: Tensor, height_px: int, width_px: int) -> Tensor:
    """The centre of `[..., H, W]`, which is at least as large."""
    return transforms().center_crop(image, [height_px, width_px])


def centre_square(image: Tensor) -> Tensor:
    """The largest centred square of `[..., H, W]`."""
    return centre_crop(image, *[min(image.shape[-2:])] * 2)
