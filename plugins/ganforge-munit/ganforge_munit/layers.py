"""What MUNIT's networks are built of. Activations are never in place: after an instance norm that costs copies."""

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

Count = Annotated[int, Field(ge=1)]


def conv(width: int, wider: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size, or divides it by the stride; it reflects the image at its border."""
    return nn.Conv2d(width, wider, kernel, stride, padding=(kernel - 1) // 2, padding_mode="reflect")


def layer_norm(channels: int) -> nn.Module:
    """Layer norm (Ba et al. 2016) over channels and pixels, with a scale and a shift a channel.

    The scales start between 0 and 1 at random, as the reference's do.
    """
    norm = nn.GroupNorm(1, channels)
    nn.init.uniform_(norm.weight)
    return norm


def adaptive_instance_norm(x_NCHW: Tensor, style: Tensor) -> Tensor:
    """Each channel of each sample, normalised, scaled and shifted as `style` says.

    AdaIN: Huang & Belongie 2017, eq. 8, https://arxiv.org/abs/1703.06868; MUNIT learns the numbers (2018, section 5.1).

    Args:
        x_NCHW: the features.
        style: `[N, 2 C]`: C shifts, then C scales.
    """
    shift, scale = style[:, :, None, None].chunk(2, dim=1)
    return F.instance_norm(x_NCHW) * scale + shift


class ResidualBlock(nn.Module):
    """Two convolutions with instance norm, and a shortcut past them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW + self.layers(x_NCHW)


class StyledBlock(nn.Module):
    """Two convolutions with adaptive instance norm, and a shortcut past them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, channels, 3), conv(channels, channels, 3)

    def forward(self, x_NCHW: Tensor, first_style: Tensor, second_style: Tensor) -> Tensor:
        y_NCHW = adaptive_instance_norm(self.first(x_NCHW), first_style).relu()
        return x_NCHW + adaptive_instance_norm(self.second(y_NCHW), second_style)


def draw_kaiming(network: nn.Module) -> None:
    """Weights of convolutions and linear layers from He et al. 2015 (fan in), biases of 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
