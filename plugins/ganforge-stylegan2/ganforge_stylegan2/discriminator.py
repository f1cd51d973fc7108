"""The network that judges whether images are real."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganforge_stylegan2.labels import LabelEmbedding, check_labels
from ganforge_stylegan2.layers import Activated, EqualConv, EqualLinear, MinibatchStd, Resize, activate, equal_layers
from ganforge_stylegan2.options import Count, Side, sides, width

MAPPING_LAYERS = 8
MAPPING_SPEED = 0.01


class Discriminator(nn.Module):
    """StyleGAN2's residual discriminator: halvings down to 4 x 4, the deviation among samples, one verdict an image.

    Karras et al. 2020, figure 7c, https://arxiv.org/abs/1912.04958; labels by projection, Miyato & Koyama 2018,
    https://arxiv.org/abs/1802.05637, on mapped labels as in StyleGAN2-ADA, https://arxiv.org/abs/2006.06676.

    Args:
        size_px: side of the images.
        channels: channels at full size; they double with each halving.
        max_channels: no layer has more.
        in_channels: channels of the images.
        group: how many samples of a batch are compared with each other.
        classes: how many classes labels are from; without, it takes no labels.
    """

    def __init__(
        self,
        size_px: Side = 256,
        channels: Count = 64,
        max_channels: Count = 512,
        in_channels: Count = 3,
        group: Count = 4,
        classes: Count | None = None,
    ) -> None:
        super().__init__()
        widths = [width(side, size_px, channels, max_channels) for side in reversed(sides(size_px))]
        last = widths[-1]
        self.from_colours = ConvLayer(in_channels, widths[0], 1)
        self.blocks = nn.Sequential(*(ResidualBlock(inputs, outputs) for inputs, outputs in pairwise(widths)))
        self.deviation = MinibatchStd(group)
        self.conv = ConvLayer(last + 1, last, 3)
        self.dense = Activated(last * 4 * 4, last)
        self.verdict = EqualLinear(last, last if classes else 1)
        self.label = (
            nn.Sequential(LabelEmbedding(classes, last), *equal_layers([last] * (MAPPING_LAYERS + 1), MAPPING_SPEED))
            if classes
            else None
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Judge images.

        Args:
            images: `[N, in_channels, size_px, size_px]` in `[-1, 1]`.
            labels: int64 `[N]` in `[0, classes)`.

        Returns:
            Logits `[N, 1]`, high where the image looks real, and like its label.

        Raises:
            ValueError: there are labels without `classes`, or the reverse.
        """
        check_labels(self.label, labels)
        x_NCHW = self.conv(self.deviation(self.blocks(self.from_colours(images))))
        x_NC = self.verdict(self.dense(x_NCHW.flatten(1)))
        if self.label is None:
            return x_NC
        return (x_NC * self.label(labels)).sum(1, keepdim=True) / math.sqrt(x_NC.shape[1])


class ConvLayer(nn.Module):
    """A convolution, a bias and an activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, resize: Resize = "none") -> None:
        super().__init__()
        self.conv = EqualConv(inputs, outputs, kernel, resize)
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return activate(self.conv(x_NCHW) + self.bias)


class ResidualBlock(nn.Module):
    """`[N, inputs, H, W]` to `[N, outputs, H / 2, W / 2]`: two convolutions and a shortcut, scaled to unit variance."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(ConvLayer(inputs, inputs, 3), ConvLayer(inputs, outputs, 3, "halve"))
        self.shortcut = EqualConv(inputs, outputs, 1, "halve")

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return (self.shortcut(x_NCHW) + self.conv(x_NCHW)) * math.sqrt(0.5)
