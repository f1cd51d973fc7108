"""Augmentations that change colours, and leave every pixel where it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import traits
from ganforge.builtin.augmentations.geometry import Factor, between
from ganforge.images.late_torchvision import transforms

Jitter = Annotated[float, Field(ge=0, le=1)]
_WITH_TRANSPARENCY = (2, 4)
"""Channels of grey, and of colours, with transparency as the last one."""


def colour(
    picture: Tensor,
    rng: random.Random,
    brightness: Jitter = 0.2,
    contrast: Jitter = 0.2,
    saturation: Jitter = 0.2,
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.05,
) -> Tensor:
    """Jitter brightness, contrast, saturation and hue, in any order; 0 leaves one as it is.

    Pictures without colours, and of more channels than 3, change in brightness and contrast alone; transparency stays.
    As torchvision's ColorJitter, after Howard, Some Improvements on Deep Convolutional Neural Network Based Image
    Classification, arXiv:1312.5402.

    Args:
        brightness: the widest change of the factor 1 that values from black are multiplied by.
        contrast: the widest change of the factor 1 that differences from the picture's mean are multiplied by.
        saturation: the widest change of the factor 1 that differences from grey are multiplied by.
        hue: the widest turn of the hue, either way, as a share of the whole circle.
    """
    widest = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    factors = {name: rng.uniform(max(0, 1 - wide), 1 + wide) for name, wide in widest.items()}
    turn = rng.uniform(-hue, hue)
    changes: list[Callable[[Tensor], Tensor]] = [
        lambda unit: (unit * factors["brightness"]).clamp(0, 1),
        lambda unit: _contrast(unit, factors["contrast"]),
    ]
    if picture.shape[-3] in (3, 4):
        changes.append(lambda unit: transforms().adjust_saturation(unit, factors["saturation"]))
        changes.append(lambda unit: transforms().adjust_hue(unit, turn) if turn else unit)
    rng.shuffle(changes)
    return _of_colours(picture, lambda unit: _each(changes, unit))


def gamma(picture: Tensor, rng: random.Random, least: Factor = 0.8, most: Factor = 1.25) -> Tensor:
    """Make the middle tones darker or lighter, black and white stay: values in `[0, 1]` to this power.

    Args:
        least: the smallest power; below 1 a picture becomes lighter.
        most: the largest power.

    Raises:
        ValueError: `least` is larger than `most`.
    """
    power = between(rng, least, most)
    return _of_colours(picture, lambda unit: transforms().adjust_gamma(unit, power))


@traits(probability=0.5)
def invert(picture: Tensor) -> Tensor:
    """Make a negative of it; of half of the pictures, where `probability` says nothing else. Transparency stays."""
    return _of_colours(picture, lambda unit: 1 - unit)


@traits(probability=0.5)
def grey(picture: Tensor) -> Tensor:
    """Take the colours from it; from half of the pictures, where `probability` says nothing else.

    Luma of ITU-R BT.601 in all three channels; transparency stays.

    Raises:
        ValueError: it has no colours to lose.
    """
    if picture.shape[-3] not in (3, 4):
        raise ValueError(f"a picture of {picture.shape[-3]} channels has no colours to lose; name others by `fields`")
    return _of_colours(picture, lambda unit: transforms().rgb_to_grayscale(unit, num_output_channels=3))


def posterize(
    picture: Tensor,
    rng: random.Random,
    least: Annotated[int, Field(ge=1, le=16)] = 3,
    most: Annotated[int, Field(ge=1, le=16)] = 6,
) -> Tensor:
    """Leave but a few levels between black and white.

    Args:
        least: the fewest bits that are left to a channel: 3 are 8 levels.
        most: the most bits.

    Raises:
        ValueError: `least` is larger than `most`.
    """
    levels = 2 ** round(between(rng, least, most)) - 1
    return _of_colours(picture, lambda unit: (unit * levels).round() / levels)


def _of_colours(picture: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The picture with its colours, which are handed over in `[0, 1]`, changed."""
    channels = picture.shape[-3]
    seen = channels - 1 if channels in _WITH_TRANSPARENCY else channels
    changed = change(picture[:seen].add(1).div(2).clamp(0, 1)).mul(2).sub(1)
    return changed if seen == channels else torch.cat((changed, picture[seen:]))


def _contrast(unit: Tensor, factor: float) -> Tensor:
    """As torchvision, which knows one and three channels."""
    grey_of = transforms().rgb_to_grayscale(unit) if len(unit) == 3 else unit
    return torch.lerp(grey_of.mean(), unit, factor).clamp(0, 1)


def _each(changes: list[Callable[[Tensor], Tensor]], unit: Tensor) -> Tensor:
    for change in changes:
        unit = change(unit)
    return unit
