"""What both networks are built of: convolutions that start with unit gain, and nothing that normalises.

Huang et al. 2024, section 4, https://arxiv.org/abs/2501.05441.
"""

import math
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

Count = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]

FIRST_PX = 4
"""The side of the smallest feature maps."""
SLOPE = 0.2
"""Of the leaky ReLUs, below 0."""


def side_px(channels: Widths) -> int:
    """The side of the pictures of a network that has one stage for each of these widths, 4 px first."""
    return FIRST_PX * 2 ** (len(channels) - 1)


def conv(
    in_channels: int, out_channels: int, kernel: int = 1, groups: int = 1, gain: float = 1.0, bias: bool = False
) -> nn.Conv2d:
    """A convolution that keeps the size, with weights by `draw` and biases of 0."""
    layer = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=bias)
    draw(layer.weight, layer.weight[0].numel(), gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def linear(in_features: int, out_features: int) -> nn.Linear:
    """A matrix with weights by `draw`."""
    layer = nn.Linear(in_features, out_features, bias=False)
    draw(layer.weight, in_features)
    return layer


def embedding(classes: int, features: int, gain: float = 1.0) -> nn.Embedding:
    """A vector for each class: the linear layer of one-hot labels that the reference has, without the zeros."""
    layer = nn.Embedding(classes, features)
    draw(layer.weight, classes, gain)
    return layer


def draw(weight: Tensor, fan_in: int, gain: float = 1.0) -> None:
    """Weights from normal(0, `gain` / sqrt(`fan_in`)), which multiplies the size of what passes by `gain`.

    He et al. 2015, https://arxiv.org/abs/1502.01852; the gain of the activation is the caller's.
    """
    nn.init.normal_(weight, 0.0, gain / math.sqrt(fan_in))


def check_label(label: Tensor | None, of_classes: nn.Embedding | None) -> None:
    """Whether a call has a label just when the network knows classes.

    Raises:
        ValueError: it has not.
    """
    if label is None and of_classes is not None:
        raise ValueError("a network of classes takes a label for each picture, as in G(noise(64), label)")
    if label is not None and of_classes is None:
        raise ValueError("a label was given to a network that knows no classes: set its option 'classes'")


class ResidualBlock(nn.Module):
    """Adds to its input what three convolutions make of it: 1x1 to more channels, 3x3 within groups, 1x1 back.

    The last convolution starts at 0, so that a block starts as the identity, and the others are scaled down by the
    number of blocks, as in Fixup (Zhang et al. 2019, https://arxiv.org/abs/1901.09321): no normalisation is needed.

    Args:
        channels: of input and output.
        expansion: the 3x3 convolution has so many times more channels.
        group_channels: of each group of the 3x3 convolution.
        blocks: how many there are in the whole network.

    Raises:
        ValueError: the channels of the 3x3 convolution are no multiple of `group_channels`.
    """

    def __init__(self, channels: int, expansion: int, group_channels: int, blocks: int) -> None:
        super().__init__()
        wide = channels * expansion
        groups, rest = divmod(wide, group_channels)
        if rest:
            raise ValueError(
                f"{channels} channels, expanded to {wide}, do not divide into groups of {group_channels}: "
                "change channels, expansion or group_channels"
            )
        # That of a leaky ReLU, and Fixup's exponent for three layers a block: -1 / (2 * 3 - 2).
        gain = math.sqrt(2 / (1 + SLOPE**2)) * blocks**-0.25
        self.widen = conv(channels, wide, gain=gain, bias=True)
        self.mix = conv(wide, wide, kernel=3, groups=groups, gain=gain, bias=True)
        self.narrow = conv(wide, channels, gain=0.0)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y_NCHW = F.leaky_relu(self.widen(x_NCHW), SLOPE)
        y_NCHW = F.leaky_relu(self.mix(y_NCHW), SLOPE)
        return x_NCHW + self.narrow(y_NCHW)


class Upsample(nn.Module):
    """Bilinear interpolation, `[N, C, H, W]` to `[N, C, 2 H, 2 W]`: doubled pixels, blurred."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return blur(F.interpolate(x_NCHW, scale_factor=2.0, mode="nearest"))


class Downsample(nn.Module):
    """Its counterpart, `[N, C, H, W]` to `[N, C, H / 2, W / 2]`: blurred, then the mean of each 2 x 2 pixels."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return F.avg_pool2d(blur(x_NCHW), 2)


def blur(x_NCHW: Tensor) -> Tensor:
    """The binomial filter [1, 2, 1] / 4 in both directions, with zeros around the picture.

    As two means of neighbours: torch differentiates a convolution of single channels twice, as R1 does, channel by
    channel.
    """
    return F.avg_pool2d(F.avg_pool2d(x_NCHW, 2, stride=1, padding=1), 2, stride=1)
