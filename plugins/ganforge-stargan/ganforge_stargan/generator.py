"""The one generator for all pairs of domains."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn


class Generator(nn.Module):
    """StarGAN's generator: translates an image to the domain that it is told.

    Choi et al. 2018, table 4, https://arxiv.org/abs/1711.09020. The domain is given as further channels, each constant
    over the image. Only zero padding makes such channels visible: away from the border they shift what the first
    convolution returns, and the instance norm behind it undoes a shift that is the same everywhere.

    Weights have the names of the public reference (github.com/yunjey/stargan). Its running statistics are left out:
    it never uses them, as it translates in training mode too.

    Args:
        classes: how many domains there are, or attributes.
        channels: channels at full size; the residual blocks have four times as many.
        blocks: residual blocks.
        in_channels: channels of the images, given and returned.
    """

    def __init__(
        self,
        classes: Annotated[int, Field(ge=1)],
        channels: Annotated[int, Field(ge=1)] = 64,
        blocks: Annotated[int, Field(ge=0)] = 6,
        in_channels: Annotated[int, Field(ge=1)] = 3,
    ) -> None:
        super().__init__()
        self.classes = classes
        layers = [nn.Conv2d(in_channels + classes, channels, 7, padding=3, bias=False), *_norm_relu(channels)]
        for width in (channels, 2 * channels):
            halve = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)
            layers += [halve, *_norm_relu(2 * width)]
        layers += [ResidualBlock(4 * channels) for _ in range(blocks)]
        for width in (2 * channels, channels):
            double = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False)
            layers += [double, *_norm_relu(width)]
        layers += [nn.Conv2d(channels, in_channels, 7, padding=3, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, images: Tensor, domains: Tensor) -> Tensor:
        """Translate images.

        Args:
            images: `[N, in_channels, H, W]` in `[-1, 1]`; H and W divisible by 4.
            domains: the domain that each is to have, `[N, classes]`, as `one_hot(label, classes)`.

        Returns:
            `[N, in_channels, H, W]` in `[-1, 1]`.
        """
        planes = domains[:, :, None, None].expand(-1, -1, *images.shape[2:])
        return self.main(torch.cat((images, planes), dim=1))

    def to_domain(self, images: Tensor, number: int) -> Tensor:
        """Translate all images to one domain, as `G.to_domain(real, 2)`: a column of a panel.

        Args:
            images: `[N, in_channels, H, W]` in `[-1, 1]`; H and W divisible by 4.
            number: the domain, in `[0, classes)`.

        Returns:
            `[N, in_channels, H, W]` in `[-1, 1]`.

        Raises:
            ValueError: there is no domain of this number.
        """
        if not 0 <= number < self.classes:
            raise ValueError(f"there is no domain {number}: the last of the {self.classes} is {self.classes - 1}")
        domains = images.new_zeros(images.shape[0], self.classes)
        domains[:, number] = 1
        return self(images, domains)


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut past them, without an activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.main = nn.Sequential(first, *_norm_relu(channels), second, nn.InstanceNorm2d(channels, affine=True))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW + self.main(x_NCHW)


def _norm_relu(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels, affine=True), nn.ReLU()]
