"""Making pictures fit networks that do not take every size."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from ganforge.errors import EnvironmentFault, UsageError
from ganforge.failures.blame import fault_of
from ganforge.failures.exhaustion import TILES, exhausted
from ganforge.failures.words import words
from ganforge.inference.tiling import Untileable

MULTIPLES = (1, 4, 8, 16, 32, 64, 128, 256)
"""Pixels: networks that halve and double their maps may want sides that these divide."""
DEVICE_LOST: tuple[type[Exception], ...] = (torch.AcceleratorError,) if hasattr(torch, "AcceleratorError") else ()


def fitted(pictures: Tensor, attempt: Callable[[Tensor], Tensor], what: str) -> Tensor:
    """The result for pictures that are continued until the networks take them, cut to what was given."""
    height, width = pictures.shape[-2:]
    tried: dict[tuple[int, int], str] = {}
    for multiple in MULTIPLES:
        padded = continued(pictures, multiple)
        size = (padded.shape[-2], padded.shape[-1])
        if size in tried:
            continue
        try:
            made = attempt(padded)
        except DEVICE_LOST:
            raise  # the device has failed, and computes nothing more
        except Exception as error:  # of a network that does not take this size, whatever it stumbles on
            if told := exhausted(error, TILES):
                what = f"{len(pictures)} x {height} x {width} pixels"
                raise EnvironmentFault(f"memory does not suffice for {what}: {told.message}", told.cure) from error
            tried[size] = _reason(error)
            continue
        if scale := scale_of(padded, made):
            return made[..., : int(height * scale), : int(width * scale)]
        tried[size] = f"it makes {made.shape[-2]} x {made.shape[-1]} of it"
    reason = next(iter(tried.values()))
    raise UsageError(f"{what} cannot take a picture of {height} x {width} pixels: {reason}", "try --size 256")


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


def _reason(error: Exception) -> str:
    """Why a picture was refused; with the line of a plugin's code, where it is that which is wrong."""
    first = next(iter(words(error).splitlines()), type(error).__name__)
    fault = fault_of(error)
    refused = isinstance(error, RuntimeError | Untileable) and type(error) is not RecursionError
    return first if refused or not fault.own else "\n  ".join([fault.said, fault.where])
