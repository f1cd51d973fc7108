"""Sampling images through a transformation, differentiable as often as one likes."""

import torch
from torch import Tensor


def warp(images: Tensor, source: Tensor) -> Tensor:
    """Images whose pixels come from where a matrix sends them, interpolated between the four nearest pixels.

    Beyond its edges an image goes on as its mirror image. torch's `grid_sample` has no second derivative, which R1
    through an augmentation needs; this is made of gathers, which have.

    Args:
        images: `[N, C, H, W]`; H and W at least 2.
        source: `[N, 3, 3]`: from (x, y, 1) of a pixel of the result to that of its source, in pixels from the centre.

    Returns:
        `[N, C, H, W]`, exactly the images where the matrix is the identity.
    """
    height, width = images.shape[2:]
    x_W = torch.arange(width, device=source.device, dtype=source.dtype) - (width - 1) / 2
    y_H1 = torch.arange(height, device=source.device, dtype=source.dtype)[:, None] - (height - 1) / 2
    a_N11, b_N11, c_N11 = (column[:, :, None, None] for column in source[:, :2].unbind(2))
    x_NHW, y_NHW = (a_N11 * x_W + b_N11 * y_H1 + c_N11).unbind(1)
    left, right, across = _neighbours(x_NHW + (width - 1) / 2, width)
    upper, lower, down = _neighbours(y_NHW + (height - 1) / 2, height)

    pixels = images.flatten(2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        index = (row * width + column).flatten(1)[:, None].expand(-1, images.shape[1], -1)
        return pixels.gather(2, index).view_as(images)

    above = (1 - across) * at(upper, left) + across * at(upper, right)
    below = (1 - across) * at(lower, left) + across * at(lower, right)
    return ((1 - down) * above + down * below).to(images.dtype)


def _neighbours(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels before and after each position, and how far it is from the first, in `[0, 1)`, as `[N, 1, H, W]`.

    Positions count pixel centres from 0; those outside are mirrored at the outermost centres.
    """
    last = size - 1
    position = last - (position.remainder(2 * last) - last).abs()
    before = position.floor().clamp(0, last)  # rounding may leave a hair outside
    share = position - before
    first = before.long()
    return first, (first + 1).clamp(max=last), share[:, None]
