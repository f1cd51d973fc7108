"""The channels of pictures: grey, colours and transparency into each other; all others as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.images.depths import WRONG_CHANNELS, Unfit
from ganforge.images.values import WHITE, to_grey

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's modes of as many channels."""


def with_channels(picture: Tensor, channels: int) -> Tensor:
    """Whole numbers or floats `[C, H, W]` as `[channels, H, W]` of the same type.

    Grey becomes colours, colours grey; transparency (the second of two channels, the fourth of four) is put on white
    where it is not asked for, and opaque where there is none.

    Raises:
        Unfit: the picture has other channels than these, and nobody knows which to take.
    """
    has = len(picture)
    if has == channels:
        return picture
    if {has, channels} - MODES.keys():
        raise Unfit(f"it has {has} channels, and {channels} are asked for", WRONG_CHANNELS.format(has))
    if (picture.dtype, has, channels) == (torch.uint8, 3, 1):
        return to_grey(picture)
    if picture.dtype in WHITE:
        white = WHITE[picture.dtype]
        return _converted(picture.float(), channels, white).round().to(torch.int32).to(picture.dtype)
    if has in (2, 4) or channels in (2, 4):
        kind = str(picture.dtype).removeprefix("torch.")
        raise Unfit(f"it has {has} channels of {kind}, and {channels} are asked for", WRONG_CHANNELS.format(has))
    return _converted(picture, channels, 1.0)


def _converted(picture: Tensor, channels: int, white: float) -> Tensor:
    colours, alpha = picture, torch.full_like(picture[:1], white)
    if len(picture) in (2, 4):
        colours, alpha = picture[:-1], picture[-1:]
        if channels in (1, 3):
            opaque = alpha / white
            colours = colours * opaque + white * (1 - opaque)
    wanted = 1 if channels in (1, 2) else 3
    if len(colours) == 3 and wanted == 1:
        colours = to_grey(colours)
    colours = colours.expand(wanted, -1, -1)
    return torch.cat((colours, alpha)) if channels in (2, 4) else colours.contiguous()
