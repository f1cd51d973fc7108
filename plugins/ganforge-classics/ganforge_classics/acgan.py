"""AC-GAN: Odena et al. 2017, "Conditional Image Synthesis with Auxiliary Classifier GANs",
https://arxiv.org/abs/1610.09585. Its generator is any, given noise and the label as `one_hot(label, classes)`."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganforge_classics.layers import Count, draw_dcgan_weights

_STRIDES = (2, 1, 2, 1, 2, 1)


class Verdict(NamedTuple):
    """What an AC-GAN discriminator says of pictures."""

    logits: Tensor
    """`[N, 1]`, high where the picture looks real."""
    classes: Tensor
    """Logits of the classes, `[N, classes]`."""


class AcganDiscriminator(nn.Module):
    """AC-GAN's discriminator: says whether a picture is real, and which class it shows.

    Odena et al. 2017, table 2 (CIFAR-10), https://arxiv.org/abs/1610.09585; without its optional noise.

    Args:
        classes: how many classes there are.
        size_px: the side of a picture, divisible by 8; 32 in the paper.
        channels: channels after the first of six convolutions; they double with each.
        dropout: probability of dropping an activation after each convolution.
        image_channels: 3 for RGB, 1 for grey.
    """

    def __init__(
        self,
        classes: Count,
        size_px: Annotated[int, Field(ge=8, multiple_of=8)] = 32,
        channels: Count = 16,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        image_channels: Count = 3,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner, outer = image_channels, channels
        for number, stride in enumerate(_STRIDES):
            normed = number > 0
            layers.append(nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=not normed))
            layers += [nn.BatchNorm2d(outer)] if normed else []
            layers += [nn.LeakyReLU(0.2), nn.Dropout(dropout)]
            inner, outer = outer, 2 * outer
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.verdict = nn.Linear(inner * (size_px // 8) ** 2, 1 + classes)
        draw_dcgan_weights(self)

    def forward(self, images: Tensor) -> Verdict:
        """Judge pictures `[N, image_channels, size_px, size_px]` in `[-1, 1]`."""
        verdict = self.verdict(self.layers(images))
        return Verdict(verdict[:, :1], verdict[:, 1:])


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Says whether the class was told: the mean of `-log softmax(logits)[label]`.

    L_C of Odena et al. 2017, equation 3, https://arxiv.org/abs/1610.09585, with its sign turned: both players lower it.

    Args:
        logits: of the classes, `[N, classes]`.
        labels: class numbers `[N]`, int64.
    """
    return F.cross_entropy(logits, labels)
