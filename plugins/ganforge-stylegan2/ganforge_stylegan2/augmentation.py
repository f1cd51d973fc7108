"""The transformations of StyleGAN2-ADA, as matrices that can be multiplied: each image has its own, and each
transformation happens to it with probability p (Karras et al. 2020, appendix B, https://arxiv.org/abs/2006.06676).

Geometric ones are inverse, from a pixel of the result to its source, `[N, 3, 3]` in pixels from the centre; those of
colours `[N, 4, 4]` take (r, g, b, 1) to what it becomes. Matrices are multiplied without `@`, which on a GPU may round
to ten bits: a large picture would move by parts of a pixel.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge_stylegan2.warp import warp

Pipeline = Literal["b", "bg", "bgc"]
Size = tuple[int, int]
"""Height and width, in pixels."""


def augment(images: Tensor, p: Tensor, pipeline: Pipeline = "bgc") -> Tensor:
    """Transform each image at random, so that gradients of any order pass.

    Args:
        images: `[N, 3, H, W]`.
        p: a number, the probability of each transformation; float32 or float64 on the images' device.
        pipeline: `b`lit, `g`eometry, `c`olour.

    Returns:
        `[N, 3, H, W]`, exactly the images where p is 0.

    Raises:
        ValueError: `bgc` is asked of images that have no three channels.
    """
    if pipeline == "bgc" and images.shape[1] != 3:
        raise ValueError(f"colours are of three channels, not {images.shape[1]}; take the pipeline bg")
    count, size = len(images), (images.shape[2], images.shape[3])
    steps = BLIT if pipeline == "b" else BLIT + GEOMETRY
    images = warp(images, product(*(step(count, p, size) for step in steps)))
    if pipeline != "bgc":
        return images
    return recolour(images, product(*(step(count, p) for step in reversed(COLOUR))))


def product(first: Tensor, *others: Tensor) -> Tensor:
    """The product of matrices `[N, K, K]`, in the order in which it is written."""
    for other in others:
        first = (first[..., :, :, None] * other[..., None, :, :]).sum(-2)
    return first


def recolour(images: Tensor, matrix: Tensor) -> Tensor:
    """Images `[N, 3, H, W]` whose colours went through a matrix `[N, 4, 4]`."""
    columns = matrix[:, :3, :, None, None].unbind(2)
    mixed = sum((column * channel for column, channel in zip(columns, images.split(1, 1), strict=False)), columns[3])
    return mixed.to(images.dtype)


# Which images a transformation happens to


def sometimes(p: Tensor, changed: Tensor, unchanged: float) -> Tensor:
    """Values `[N, ...]`, each sample's with probability p, otherwise what changes nothing."""
    happens = torch.rand(len(changed), device=p.device, dtype=p.dtype) < p
    return torch.where(happens.view(-1, *[1] * (changed.ndim - 1)), changed, unchanged)


def uniform(p: Tensor, *shape: int) -> Tensor:
    """Numbers in `[0, 1)`, where p is and of its dtype."""
    return torch.rand(shape, device=p.device, dtype=p.dtype)


def normal(p: Tensor, *shape: int) -> Tensor:
    """Numbers from a standard normal distribution, where p is and of its dtype."""
    return torch.randn(shape, device=p.device, dtype=p.dtype)


# Pixel blitting: what moves whole pixels


def mirror(count: int, p: Tensor, size: Size) -> Tensor:
    """Left to right, half of those that it happens to."""
    flipped = sometimes(p, (2 * uniform(p, count)).floor(), 0)
    return scaling(1 - 2 * flipped, torch.ones_like(flipped))


def quarter_turn(count: int, p: Tensor, size: Size) -> Tensor:
    """By 0, 90, 180 or 270 degrees."""
    turns = sometimes(p, (4 * uniform(p, count)).floor(), 0)
    # The cosine and sine as whole numbers, which `cos` and `sin` miss by a rounding error.
    return turning((turns - 2).abs() - 1, 1 - (turns - 1).abs())


def whole_shift(count: int, p: Tensor, size: Size) -> Tensor:
    """By whole pixels, up to an eighth of each side."""
    x, y = sometimes(p, (2 * uniform(p, count, 2) - 1) / 8, 0).unbind(1)
    return shifting((x * size[1]).round(), (y * size[0]).round())


# General geometry


def zoom(count: int, p: Tensor, size: Size) -> Tensor:
    """By a factor whose logarithm to base 2 is normal, with a standard deviation of 0.2."""
    factor = sometimes(p, (0.2 * normal(p, count)).exp2(), 1)
    return scaling(1 / factor, 1 / factor)


def rotation(count: int, p: Tensor, size: Size) -> Tensor:
    """By any angle. It comes twice, before and after the stretching: one or both with probability p."""
    angle = sometimes(1 - (1 - p).clamp(0, 1).sqrt(), (2 * uniform(p, count) - 1) * math.pi, 0)
    return turning(angle.cos(), angle.sin())


def stretch(count: int, p: Tensor, size: Size) -> Tensor:
    """In width by such a factor as that of `zoom`, in height by its inverse."""
    factor = sometimes(p, (0.2 * normal(p, count)).exp2(), 1)
    return scaling(1 / factor, factor)


def fine_shift(count: int, p: Tensor, size: Size) -> Tensor:
    """By any distance, with a standard deviation of an eighth of each side."""
    x, y = sometimes(p, normal(p, count, 2) / 8, 0).unbind(1)
    return shifting(x * size[1], y * size[0])


# Colours


def brightness(count: int, p: Tensor) -> Tensor:
    """Plus one number on all channels, with a standard deviation of 0.2."""
    added = sometimes(p, 0.2 * normal(p, count), 0)
    return torch.eye(4, device=p.device, dtype=p.dtype) + F.pad(added[:, None, None].expand(-1, 3, 1), (3, 0, 0, 1))


def contrast(count: int, p: Tensor) -> Tensor:
    """Times a factor whose logarithm to base 2 is normal, with a standard deviation of 0.5."""
    factor = sometimes(p, (0.5 * normal(p, count)).exp2(), 1)
    return about_luma(along=factor, across=factor)


def luma_flip(count: int, p: Tensor) -> Tensor:
    """Light to dark and back, hue and saturation kept: half of those that it happens to."""
    flipped = sometimes(p, (2 * uniform(p, count)).floor(), 0)
    return about_luma(along=1 - 2 * flipped, across=torch.ones_like(flipped))


def hue(count: int, p: Tensor) -> Tensor:
    """Turned by any angle around the grey axis."""
    angle = sometimes(p, (2 * uniform(p, count) - 1) * math.pi, 0)
    return about_luma(along=torch.ones_like(angle), across=angle.cos(), turned=angle.sin())


def saturation(count: int, p: Tensor) -> Tensor:
    """Distance from grey times a factor whose logarithm to base 2 is normal, with a standard deviation of 1."""
    factor = sometimes(p, normal(p, count).exp2(), 1)
    return about_luma(along=torch.ones_like(factor), across=factor)


# In the reference's order, in which a result's pixel is traced back to its source, and colours are changed.
BLIT = (mirror, quarter_turn, whole_shift)
GEOMETRY = (zoom, rotation, stretch, rotation, fine_shift)
COLOUR = (brightness, contrast, luma_flip, hue, saturation)


# Matrices


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """`[N, 3, 3]` that multiplies x and y by numbers `[N]`."""
    return torch.diag_embed(torch.stack((x, y, torch.ones_like(x)), dim=1))


def turning(cos: Tensor, sin: Tensor) -> Tensor:
    """`[N, 3, 3]` that turns by an angle `[N]`, given by its cosine and sine."""
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, one), dim=1).unflatten(1, (3, 3))


def shifting(x: Tensor, y: Tensor) -> Tensor:
    """`[N, 3, 3]` that subtracts x and y: what moves an image right by x looks for its source left by x."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return torch.stack((one, zero, -x, zero, one, -y, zero, zero, one), dim=1).unflatten(1, (3, 3))


def about_luma(along: Tensor, across: Tensor, turned: Tensor | None = None) -> Tensor:
    """`[N, 4, 4]` that multiplies the grey part of a colour by `along`, its distance from grey by `across`, and adds
    `turned` times that distance turned by 90 degrees; numbers `[N]`."""
    identity = torch.eye(3, device=along.device, dtype=along.dtype)
    linear = across[:, None, None] * identity + ((along - across) / 3)[:, None, None]
    if turned is not None:
        quarter = (identity.roll(1, 0) - identity.roll(-1, 0)) / math.sqrt(3)
        linear = linear + turned[:, None, None] * quarter
    return F.pad(linear, (0, 1, 0, 1)) + F.pad(linear.new_ones(1, 1), (3, 0, 3, 0))
