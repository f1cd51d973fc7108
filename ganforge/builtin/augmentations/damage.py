"""Augmentations that take something from a picture, as lenses, sensors and files do."""

from __future__ import annotations

import io
import math
import random
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganforge import images
from ganforge.builtin.augmentations.geometry import between
from ganforge.images.late_torchvision import transforms

Width = Annotated[float, Field(ge=0)]
Part = Annotated[float, Field(gt=0, le=1)]
Quality = Annotated[int, Field(ge=1, le=100)]


def blur(picture: Tensor, rng: random.Random, least_px: Width = 0.0, most_px: Width = 1.5) -> Tensor:
    """Blur with a Gaussian.

    Args:
        least_px: its smallest standard deviation.
        most_px: its largest one.

    Raises:
        ValueError: `least_px` is larger than `most_px`.
    """
    width = between(rng, least_px, most_px)
    reach = min(math.ceil(3 * width), min(picture.shape[-2:]) - 1)
    if width < 0.05 or reach < 1:  # of a pixel: nothing to be seen
        return picture
    return transforms().gaussian_blur(picture, [2 * reach + 1] * 2, [width] * 2)


def noise(picture: Tensor, rng: random.Random, most: Annotated[float, Field(ge=0, le=2)] = 0.1) -> Tensor:
    """Add noise of a Gaussian to every pixel and channel, as sensors do; to pictures that correspond the same, if they
    have as many channels.

    Args:
        most: its largest standard deviation, where black is -1 and white is 1; each from 0 on is as likely.
    """
    strength = rng.uniform(0, most)
    generator = torch.Generator().manual_seed(rng.getrandbits(63))  # on the host: the same on every device
    return picture + strength * torch.randn(picture.shape, generator=generator).to(picture.device)


def cutout(
    picture: Tensor,
    rng: random.Random,
    least: Part = 0.1,
    most: Part = 0.3,
    count: Annotated[int, Field(ge=1, le=100)] = 1,
    fill: Literal["black", "grey", "white"] = "grey",
) -> Tensor:
    """Hide rectangles anywhere in it; masks stay as they are.

    After DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, arXiv:1708.04552.

    Args:
        least: the smallest height, and width, of a rectangle, as a share of the picture's.
        most: the largest height, and width.
        count: how many rectangles there are; they may overlap.
        fill: what they are filled with.

    Raises:
        ValueError: `least` is larger than `most`.
    """
    sides = picture.shape[-2:]
    for _ in range(count):
        sizes = [max(1, round(between(rng, least, most) * side)) for side in sides]
        top, left = (rng.randint(0, side - size) for side, size in zip(sides, sizes, strict=True))
        picture[:, top : top + sizes[0], left : left + sizes[1]] = {"black": -1, "grey": 0, "white": 1}[fill]
    return picture


def jpeg(picture: Tensor, rng: random.Random, least: Quality = 30, most: Quality = 90) -> Tensor:
    """Compress it as JPEG, with all that this leaves behind: blocks, rings, 8 bits a channel.

    Args:
        least: the lowest quality.
        most: the highest quality.

    Raises:
        ValueError: JPEG has no pictures of so many channels; `least` is larger than `most`.
    """
    if picture.shape[-3] not in (1, 3):
        raise ValueError(f"JPEG has 1 channel or 3, and not {picture.shape[-3]}; name other pictures by `fields`")
    quality, file = round(between(rng, least, most)), io.BytesIO()
    images.to_pillow(images.to_uint8(picture.cpu())).save(file, "JPEG", quality=quality)
    read = images.decode_image(file.getvalue(), picture.shape[-3])
    return images.to_float(read).to(picture.device)
