"""Pictures of any channels as people, and networks of colour pictures, can look at them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ganforge.images.values import to_uint8


def as_colours(pictures: Tensor, channels: Sequence[int] | None = None) -> Tensor:
    """`[..., C, H, W]` as `[..., 3, H, W]`: these channels, counted from 1; by default the first three, and where there
    are fewer, the first one as grey."""
    if channels is None:
        channels = (1, 2, 3) if pictures.shape[-3] >= 3 else (1,)
    elif len(channels) not in (1, 3) or not all(1 <= number <= pictures.shape[-3] for number in channels):
        raise ValueError(f"{list(channels)} are not one or three of the channels 1 to {pictures.shape[-3]}")
    if channels == (1, 2, 3):
        return pictures.narrow(-3, 0, 3)
    picked = pictures[..., [number - 1 for number in channels], :, :]
    return picked.expand(*pictures.shape[:-3], 3, *pictures.shape[-2:])


def shown(pictures: Tensor, channels: Sequence[int] | None = None) -> Tensor:
    """`[..., C, H, W]`, uint8, uint16 or floats in `[-1, 1]`, as people see them: uint8 `[..., 3, H, W]`."""
    return to_uint8(as_colours(pictures, channels))
