"""From styles to images."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ganforge_stylegan2.fir import Fir
from ganforge_stylegan2.layers import ModulatedConv, Resize, activate
from ganforge_stylegan2.options import Count, Side, sides, style_count, width


class Synthesis(nn.Module):
    """StyleGAN2's generator without its mapping: a learnt 4 x 4 constant grows to an image, styled at every layer; each
    size adds its colours to the enlarged image of the one before.

    Karras et al. 2020, figures 2d and 7b, https://arxiv.org/abs/1912.04958. In training mode each call draws new noise;
    in evaluation mode noise is the fixed pattern that was drawn with the weights, so that one style is one image.

    Args:
        size_px: side of the images.
        channels: channels at full size; they double with each halving. 64 at 256 px are half of the paper's, as the
            reference has it below 512 px.
        max_channels: no layer has more.
        style_size: length of a style.
        out_channels: channels of the images.
    """

    def __init__(
        self,
        size_px: Side = 256,
        channels: Count = 64,
        max_channels: Count = 512,
        style_size: Count = 512,
        out_channels: Count = 3,
    ) -> None:
        super().__init__()
        self.styles = style_count(size_px)
        widths = [width(side, size_px, channels, max_channels) for side in sides(size_px)]
        self.constant = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.first = StyledConv(widths[0], widths[0], style_size, 4)
        self.first_colours = Colours(widths[0], out_channels, style_size)
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, style_size, side, out_channels)
            for (inputs, outputs), side in zip(pairwise(widths), sides(size_px)[1:], strict=True)
        )

    def forward(self, styles: Tensor) -> Tensor:
        """Make images.

        Args:
            styles: `[N, L, style_size]`, coarse layers first; L is two for each side from 4 px to `size_px`.

        Returns:
            `[N, out_channels, size_px, size_px]`, meant to be in `[-1, 1]`; nothing enforces it, as in the paper.

        Raises:
            ValueError: L is another number.
        """
        if styles.shape[1] != self.styles:
            raise ValueError(
                f"images of this size are made from {self.styles} styles, not {styles.shape[1]}; "
                "give the mapping network the same size_px"
            )
        # A size's last style, that of its colours, is the first of the next size.
        style = styles.unbind(1)
        x_NCHW = self.first(self.constant.expand(styles.shape[0], -1, -1, -1), style[0])
        image = self.first_colours(x_NCHW, style[1])
        for number, block in enumerate(self.blocks):
            x_NCHW, image = block(x_NCHW, image, *style[2 * number + 1 : 2 * number + 4])
        return image


class Block(nn.Module):
    """One size: two styled convolutions, the first of which doubles, and the colours that they add to the image."""

    def __init__(self, inputs: int, outputs: int, style_size: int, side: int, out_channels: int) -> None:
        super().__init__()
        self.grow = StyledConv(inputs, outputs, style_size, side, "double")
        self.refine = StyledConv(outputs, outputs, style_size, side)
        self.colours = Colours(outputs, out_channels, style_size)
        self.fir = Fir()

    def forward(
        self, x_NCHW: Tensor, image: Tensor, grow: Tensor, refine: Tensor, colours: Tensor
    ) -> tuple[Tensor, Tensor]:
        x_NCHW = self.refine(self.grow(x_NCHW, grow), refine)
        return x_NCHW, self.fir.enlarge(image) + self.colours(x_NCHW, colours)


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, noise of learnt strength at each pixel, a bias, an activation."""

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, style_size: int, side: int, resize: Resize = "none") -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style_size, resize=resize)
        self.register_buffer("noise", torch.randn(side, side))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x_NCHW: Tensor, style_NS: Tensor) -> Tensor:
        x_NCHW = self.conv(x_NCHW, style_NS)
        noise = torch.randn_like(x_NCHW[:, :1]) if self.training else self.noise
        return activate(x_NCHW + self.noise_strength * noise + self.bias)


class Colours(nn.Module):
    """Features to colours: a modulated 1x1 convolution, not demodulated, and a bias."""

    def __init__(self, inputs: int, out_channels: int, style_size: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, out_channels, 1, style_size, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))

    def forward(self, x_NCHW: Tensor, style_NS: Tensor) -> Tensor:
        return self.conv(x_NCHW, style_NS) + self.bias
