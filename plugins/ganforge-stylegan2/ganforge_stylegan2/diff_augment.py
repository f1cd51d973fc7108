"""Differentiable augmentation of all that a discriminator sees."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["colour", "translation", "cutout"]


def diff_augment(images: Tensor, policy: tuple[Kind, ...] = ("colour", "translation", "cutout")) -> Tensor:
    """Augment each image at random, so that gradients pass: real and generated ones, in both players' phases.

    Zhao et al. 2020, section 3.2, https://arxiv.org/abs/2006.10738.

    Args:
        images: `[N, C, H, W]` in `[-1, 1]`; colours may leave that range.
        policy: what is done, in this order: `colour` (brightness, saturation, contrast), `translation` (up to an eighth
            of each side, zeros come in), `cutout` (a window of half of each side becomes 0).
    """
    for kind in policy:
        for change in CHANGES[kind]:
            images = change(images)
    return images


def brightness(images: Tensor) -> Tensor:
    """Plus a number in `[-0.5, 0.5)`."""
    return images + (_uniform(images) - 0.5)


def saturation(images: Tensor) -> Tensor:
    """Distance from grey times a number in `[0, 2)`."""
    grey = images.mean(1, keepdim=True)
    return grey + (images - grey) * (2 * _uniform(images))


def contrast(images: Tensor) -> Tensor:
    """Distance from the image's mean times a number in `[0.5, 1.5)`."""
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (_uniform(images) + 0.5)


def translation(images: Tensor) -> Tensor:
    """Moved by whole pixels up to an eighth of each side, zeros coming in."""
    for dim in (2, 3):
        size = images.shape[dim]
        reach = int(size / 8 + 0.5)
        images = _moved(images, _whole(images, -reach, reach), dim)
    return images


def cutout(images: Tensor) -> Tensor:
    """A window of half of each side becomes 0; its middle is anywhere, so it may stand out over the edge."""
    inside = []
    for dim in (2, 3):
        size = images.shape[dim]
        window = int(size / 2 + 0.5)
        start = _whole(images, 0, size - window % 2) - window // 2
        place = _places(images, dim)
        inside.append((place >= start) & (place < start + window))
    return images.masked_fill(inside[0] & inside[1], 0)


CHANGES: dict[Kind, tuple[Callable[[Tensor], Tensor], ...]] = {
    "colour": (brightness, saturation, contrast),
    "translation": (translation,),
    "cutout": (cutout,),
}


def _uniform(images: Tensor) -> Tensor:
    """A number in `[0, 1)` for each image, `[N, 1, 1, 1]`."""
    return torch.rand(len(images), 1, 1, 1, device=images.device, dtype=images.dtype)


def _whole(images: Tensor, lowest: int, highest: int) -> Tensor:
    """A whole number in `[lowest, highest]` for each image, `[N, 1, 1, 1]`."""
    return torch.randint(lowest, highest + 1, (len(images), 1, 1, 1), device=images.device)


def _places(images: Tensor, dim: int) -> Tensor:
    """The index of each pixel along a dimension, shaped to go with images."""
    shape = [1, 1, 1, 1]
    shape[dim] = -1
    return torch.arange(images.shape[dim], device=images.device).view(shape)


def _moved(images: Tensor, distance: Tensor, dim: int) -> Tensor:
    """Images moved along a dimension by whole pixels `[N, 1, 1, 1]`."""
    source = _places(images, dim) - distance
    inside = (source >= 0) & (source < images.shape[dim])
    index = source.clamp(0, images.shape[dim] - 1).expand_as(images)
    return images.gather(dim, index).masked_fill(~inside, 0)
