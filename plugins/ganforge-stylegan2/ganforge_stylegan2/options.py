"""Options that several parts share."""

from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Side = Literal[8, 16, 32, 64, 128, 256, 512, 1024]


def sides(size_px: int) -> list[int]:
    """The sides that images of `size_px` pass through, from 4 px up."""
    return [2**power for power in range(2, size_px.bit_length())]


def width(side: int, size_px: int, channels: int, max_channels: int) -> int:
    """The channels at one of these sides: `channels` at full size, twice as many with each halving, up to a limit."""
    return min(channels * size_px // side, max_channels)


def style_count(size_px: int) -> int:
    """How many styles an image of `size_px` is made from: one a convolution, and one for the last image layer."""
    return 2 * len(sides(size_px))
