"""Making pictures fit networks that do not take every size."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

MULTIPLES = (1, 4, 8, 16, 32, 64, 128, 256)
"""Pixels: networks that halve and double their maps may want sides that these divide."""


def continued(pictures: Tensor, multiple: int) -> Tensor:
    """`[..., H, W]` of any type, continued below and to the right, mirrored, until the multiple divides both sides."""
    for dim in (-2, -1):
        side = pictures.shape[dim]
        if more := -side % multiple:
            # Mirrored at the last pixel; what is smaller than its continuation repeats its first one.
            mirrored = (side - 2 - torch.arange(more)).clamp(min=0)
            places = torch.cat((torch.arange(side), mirrored))
            pictures = pictures[..., places, :] if dim == -2 else pictures[..., places]
    return pictures


def scale_of(given: Tensor, made: Tensor) -> Fraction | None:
    """How many pixels a side a result has for one of what was given.

    A few more than that are a network's rounding up, and no matter; with fewer, something is missing: None.
    """
    sides = zip(given.shape[-2:], made.shape[-2:], strict=True)
    scales = {Fraction(after // before) if after >= before else Fraction(after, before) for before, after in sides}
    scale = scales.pop()
    return scale if not scales and 1 in (scale.numerator, scale.denominator) else None
