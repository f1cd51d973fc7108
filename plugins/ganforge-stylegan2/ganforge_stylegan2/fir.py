"""Changing the size of images without aliasing: the filter [1, 3, 3, 1] of StyleGAN2, on plain convolutions.

Convolutions, because autograd differentiates them as often as R1 and path-length regularisation ask for.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TAPS = (1.0, 3.0, 3.0, 1.0)


class Fir(nn.Module):
    """Filters each channel by [1, 3, 3, 1] across and down, scaled so that a plain surface stays as it is.

    Karras et al. 2020, appendix B, https://arxiv.org/abs/1912.04958; Zhang 2019, https://arxiv.org/abs/1904.11486.
    """

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor(TAPS) / sum(TAPS)
        self.register_buffer("taps", (taps[:, None] * taps)[None, None], persistent=False)

    def blur(self, x_NCHW: Tensor, padding: int, stride: int = 1, gain: float = 1.0) -> Tensor:
        """Filter behind a border of `padding` zeros, and keep every `stride`-th value in each direction."""
        channels = x_NCHW.shape[1]
        return F.conv2d(x_NCHW, self._taps(channels, gain), stride=stride, padding=padding, groups=channels)

    def shrink(self, x_NCHW: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C, H / 2, W / 2]`."""
        return self.blur(x_NCHW, padding=1, stride=2)

    def enlarge(self, x_NCHW: Tensor) -> Tensor:
        """`[N, C, H, W]` to `[N, C, 2 H, 2 W]`: zeros between the pixels, then the filter with four times the gain."""
        channels = x_NCHW.shape[1]
        # A transposed convolution is both at once, and never multiplies by the zeros.
        return F.conv_transpose2d(x_NCHW, self._taps(channels, 4), stride=2, padding=1, groups=channels)

    def _taps(self, channels: int, gain: float) -> Tensor:
        """The same filter for each channel, `[C, 1, 4, 4]`."""
        return (gain * self.taps).expand(channels, -1, -1, -1)
