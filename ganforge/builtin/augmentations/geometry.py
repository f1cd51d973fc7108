"""Augmentations that move pixels: pictures that correspond, their masks and maps are moved alike."""

from __future__ import annotations

import random
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganforge import Pixels, traits
from ganforge.builtin.augmentations.warping import Fill, Places
from ganforge.images.late_torchvision import transforms

Degrees = Annotated[float, Field(ge=0, le=180)]
Factor = Annotated[float, Field(gt=0)]


@traits(moves_pixels=True, probability=0.5)
def flip_horizontal(picture: Tensor) -> Tensor:
    """Mirror left to right; half of the pictures, where `probability` says nothing else."""
    return transforms().horizontal_flip(picture)


@traits(moves_pixels=True, probability=0.5)
def flip_vertical(picture: Tensor) -> Tensor:
    """Mirror top to bottom; half of the pictures, where `probability` says nothing else."""
    return transforms().vertical_flip(picture)


@traits(moves_pixels=True)
def rotate_90(picture: Tensor, rng: random.Random) -> Tensor:
    """Turn by a multiple of 90 degrees, each as likely, none too; pictures that are no squares by 0 or 180.

    No pixel is interpolated. For what has no up and down: pictures from above, tissue, textures.
    """
    quarters = rng.randrange(4)
    square = picture.shape[-2] == picture.shape[-1]
    return torch.rot90(picture, quarters if square else quarters // 2 * 2, (-2, -1))


@traits(moves_pixels=True)
def rotate(
    picture: Tensor, rng: random.Random, degrees: Degrees = 15.0, fill: Fill = "mirror", *, pixels: Pixels
) -> Tensor:
    """Turn about the centre, either way.

    Args:
        degrees: the widest turn; each up to it is as likely.
        fill: what stands in the corners: the picture mirrored, its edge, or black. A mask is moved and filled alike.
    """
    return Places(picture).turn(rng.uniform(-degrees, degrees)).taken(picture, fill, pixels)


@traits(moves_pixels=True)
def zoom(
    picture: Tensor,
    rng: random.Random,
    least: Factor = 1.0,
    most: Factor = 1.25,
    fill: Fill = "mirror",
    *,
    pixels: Pixels,
) -> Tensor:
    """Enlarge about the centre; what juts out is cut off.

    Args:
        least: the smallest factor; below 1 the picture becomes smaller, and `fill` stands around it.
        most: the largest factor.
        fill: what stands around it: the picture mirrored, its edge, or black.

    Raises:
        ValueError: `least` is larger than `most`.
    """
    return Places(picture).scale(between(rng, least, most)).taken(picture, fill, pixels)


@traits(moves_pixels=True)
def affine(
    picture: Tensor,
    rng: random.Random,
    degrees: Degrees = 0.0,
    translate: Annotated[float, Field(ge=0, le=1)] = 0.1,
    scale: tuple[Factor, Factor] = (0.9, 1.1),
    shear: Annotated[float, Field(ge=0, lt=90)] = 0.0,
    fill: Fill = "mirror",
    *,
    pixels: Pixels,
) -> Tensor:
    """Turn, shift, enlarge and lean, all at once: pixels are interpolated once.

    Args:
        degrees: the widest turn, either way.
        translate: the widest shift, either way, as a share of each side.
        scale: the smallest and the largest factor.
        shear: the widest lean to a side, in degrees.
        fill: what stands where the picture ends: the picture mirrored, its edge, or black.

    Raises:
        ValueError: the smallest factor is larger than the largest.
    """
    height, width = picture.shape[-2:]
    angle, lean = rng.uniform(-degrees, degrees), rng.uniform(-shear, shear)
    right, down = (rng.uniform(-translate, translate) * side for side in (width, height))
    factor = between(rng, *scale)
    places = Places(picture).shift(right, down).turn(angle).scale(factor).shear(lean)
    return places.taken(picture, fill, pixels)


@traits(moves_pixels=True)
def elastic(
    picture: Tensor,
    rng: random.Random,
    strength: Annotated[float, Field(ge=0, le=0.5)] = 0.03,
    cells: Annotated[int, Field(ge=1, le=64)] = 4,
    fill: Fill = "mirror",
    *,
    pixels: Pixels,
) -> Tensor:
    """Bend smoothly, as tissue and handwriting do: corners of a grid are shifted at random, what lies between follows.

    After Simard et al., Best Practices for Convolutional Neural Networks, ICDAR 2003; with a grid, as in Ronneberger
    et al., U-Net, MICCAI 2015.

    Args:
        strength: how far corners are shifted at most, as a share of the shorter side.
        cells: of the grid, in each direction: with more, it bends more finely.
        fill: what stands where the picture ends: the picture mirrored, its edge, or black.
    """
    height, width = picture.shape[-2:]
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    corners = torch.rand(1, 2, cells + 1, cells + 1, generator=generator) * 2 - 1
    shifts = F.interpolate(corners, (height, width), mode="bicubic", align_corners=True)[0]
    right, down = (shifts * (strength * min(height, width))).to(picture.device)
    return Places(picture).shift(right, down).taken(picture, fill, pixels)


def between(rng: random.Random, least: float, most: float) -> float:
    """A number from `least` to `most`, each as likely.

    Raises:
        ValueError: `least` is larger.
    """
    if least > most:
        raise ValueError(f"from {least} to {most} there is nothing; the smaller number comes first")
    return rng.uniform(least, most)
