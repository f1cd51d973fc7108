"""Halving and doubling feature maps behind a blur, so that little shifts of a picture stay little.

Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", https://arxiv.org/abs/1904.11486. The filters do not
learn; they are buffers by the name that the public reference gives them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BlurDown(nn.Module):
    """Blurs by (1, 2, 1) / 4 each way and keeps every other pixel: `[N, C, H, W]` to `[N, C, H / 2, W / 2]`."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _binomial(torch.tensor([1.0, 2.0, 1.0]), channels))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        padded = F.pad(x_NCHW, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.filt, stride=2, groups=len(self.filt))


class BlurUp(nn.Module):
    """Doubles by (1, 3, 3, 1) / 4 each way, which is bilinear: `[N, C, H, W]` to `[N, C, 2 * H, 2 * W]`."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", 4 * _binomial(torch.tensor([1.0, 3.0, 3.0, 1.0]), channels))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        padded = F.pad(x_NCHW, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(padded, self.filt, stride=2, padding=3, groups=len(self.filt))


def _binomial(row: Tensor, channels: int) -> Tensor:
    """The same filter for each channel, `[channels, 1, K, K]`, of sum 1."""
    square = row[:, None] * row
    return (square / square.sum()).repeat(channels, 1, 1, 1)
