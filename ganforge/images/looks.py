"""Pictures of any channels as people, and networks of colour pictures, can look at them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ganforge.images.values import to_uint8


def looked_at(has: int, channels: Sequence[int] | None = None) -> tuple[int, ...]:
    """Which channels, counted from 1, are looked at of so many: these, or the first three, or else the first.

    Raises:
        ValueError: they are not one or three, or not there.
    """
    if channels is None:
        return (1, 2, 3) if has >= 3 else (1,)
    if len(channels) not in (1, 3) or not all(1 <= number <= has for number in channels):
        raise ValueError(f"{list(channels)} are not one or three of the channels 1 to {has}")
    return tuple(channels)


def as_colours(pictures: Tensor, channels: Sequence[int] | None = None) -> Tensor:
    """`[..., C, H, W]` as `[..., 3, H, W]`: these channels, counted from 1; by default the first three, and where there
    are fewer, the first one as grey."""
    seen = looked_at(pictures.shape[-3], channels)
    if seen == (1, 2, 3):
        return pictures.narrow(-3, 0, 3)
    picked = pictures[..., [number - 1 for number in seen], :, :]
    return picked.expand(*pictures.shape[:-3], 3, *pictures.shape[-2:])


def shown(pictures: Tensor, channels: Sequence[int] | None = None) -> Tensor:
    """`[..., C, H, W]`, uint8, uint16 or floats in `[-1, 1]`, as people see them: uint8 `[..., 3, H, W]`."""
    return to_uint8(as_colours(pictures, channels))
