"""The network that paints an image from a label map, a sketch, or another image."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from ganforge_pix2pix.layers import Count, Norm, draw_weights, norm_layer


class GlobalGenerator(nn.Module):
    """pix2pixHD's global generator: halvings down to residual blocks that see far, and as many doublings.

    Wang et al. 2018, section 3.2, https://arxiv.org/abs/1711.11585, after Johnson et al. 2016,
    https://arxiv.org/abs/1603.08155. Weights have the names of the public reference.

    Args:
        downs: halvings: with 4, a residual block's convolution reaches as far as one of 48 pixels at full size.
        channels: channels at full size; they double with each halving.
        blocks: residual blocks at the smallest size.
        in_channels: channels of the images it is given.
        out_channels: channels of the images it returns.
        norm: normalisation after every convolution but the last.
    """

    def __init__(
        self,
        downs: Annotated[int, Field(ge=0)] = 4,
        channels: Count = 64,
        blocks: Annotated[int, Field(ge=0)] = 9,
        in_channels: Count = 3,
        out_channels: Count = 3,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(downs + 1)]
        stem = nn.Conv2d(in_channels, channels, 7)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), stem, norm_layer(norm, channels), nn.ReLU()]
        for width in widths[:-1]:
            halve = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
            layers += [halve, norm_layer(norm, 2 * width), nn.ReLU()]
        layers += [ResidualBlock(widths[-1], norm) for _ in range(blocks)]
        for width in reversed(widths[:-1]):
            double = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1)
            layers += [double, norm_layer(norm, width), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(channels, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        draw_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        """Translate images.

        Args:
            images: `[N, in_channels, H, W]` in `[-1, 1]`; H and W divisible by `2 ** downs`, or the result is larger:
                each side grows to the next multiple.

        Returns:
            `[N, out_channels, H, W]` in `[-1, 1]`.
        """
        return self.model(images)


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut past them, without an activation after the sum (Johnson et al. 2016)."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm_layer(norm, channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm_layer(norm, channels),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW + self.conv_block(x_NCHW)
