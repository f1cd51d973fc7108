"""SNGAN's residual networks, and their conditional forms.

Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", https://arxiv.org/abs/1802.05957, and
Miyato & Koyama 2018, "cGANs with Projection Discriminator", https://arxiv.org/abs/1802.05637.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, TypeVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganforge_classics.layers import Classes, Count, check_labels, spectral

Widths = Annotated[tuple[Count, ...], Field(min_length=2)]
Weighted = TypeVar("Weighted", nn.Conv2d, nn.Linear)


class SnganGenerator(nn.Module):
    """SNGAN's residual generator: a latent vector becomes a small map, which residual blocks double.

    Miyato et al. 2018, table 4, https://arxiv.org/abs/1802.05957; with `classes`, the scales and shifts of the
    blocks' batch norms are each class's own (Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637).

    Args:
        latent: the length of a latent vector.
        channels: channels of the first map, then of what each doubling block returns. Four make pictures of 32 pixels:
            256 each in the paper; for 64 the reference has 1024, 512, 256, 128, 64.
        bottom_px: the side of the first map.
        classes: how many classes there are; 0 makes pictures without labels.
        image_channels: 3 for RGB, 1 for grey.
    """

    def __init__(
        self,
        latent: Count = 128,
        channels: Widths = (256, 256, 256, 256),
        bottom_px: Count = 4,
        classes: Classes = 0,
        image_channels: Count = 3,
    ) -> None:
        super().__init__()
        self.bottom_px, self.classes = bottom_px, classes
        self.first = _glorot(nn.Linear(latent, channels[0] * bottom_px**2))
        self.blocks = nn.ModuleList(UpBlock(inner, outer, classes) for inner, outer in pairwise(channels))
        self.norm = nn.BatchNorm2d(channels[-1])
        self.last = _glorot(nn.Conv2d(channels[-1], image_channels, 3, padding=1))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Make pictures.

        Args:
            latents: `[N, latent]`.
            labels: class numbers `[N]`, int64, exactly where there are classes.

        Returns:
            `[N, image_channels, H, W]` in `[-1, 1]`; the sides are `bottom_px`, doubled by each block.

        Raises:
            ValueError: labels without classes, or classes without labels.
        """
        check_labels(self.classes, labels)
        x_NCHW = self.first(latents).unflatten(1, (-1, self.bottom_px, self.bottom_px))
        for block in self.blocks:
            x_NCHW = block(x_NCHW, labels)
        return self.last(F.relu(self.norm(x_NCHW))).tanh()


class SnganDiscriminator(nn.Module):
    """SNGAN's residual discriminator: spectral norm in all its layers, the sum over all pixels, one logit a picture.

    Miyato et al. 2018, table 4, https://arxiv.org/abs/1802.05957; with `classes`, the inner product of the
    features with the class's own vector is added (Miyato & Koyama 2018, section 3, https://arxiv.org/abs/1802.05637).

    Args:
        channels: channels that each residual block returns; 128 in each of four in the paper, for pictures of 32
            pixels; for 64 the reference has 64, 128, 256, 512, 1024.
        downs: how many of the blocks halve, counted from the first: 2 in the paper for 32 pixels, all five for 64.
        classes: how many classes there are; 0 judges without labels.
        image_channels: 3 for RGB, 1 for grey.

    Raises:
        ValueError: `downs` is more than there are blocks.
    """

    def __init__(
        self,
        channels: Widths = (128, 128, 128, 128),
        downs: Count = 2,
        classes: Classes = 0,
        image_channels: Count = 3,
    ) -> None:
        super().__init__()
        if downs > len(channels):
            raise ValueError(f"{len(channels)} blocks (channels) cannot halve {downs} times (downs)")
        self.classes = classes
        first = FirstDownBlock(image_channels, channels[0])
        others = (DownBlock(inner, outer, n < downs) for n, (inner, outer) in enumerate(pairwise(channels), 1))
        self.blocks = nn.Sequential(first, *others)
        self.verdict = spectral(_glorot(nn.Linear(channels[-1], 1)))
        if classes:
            embedding = nn.Embedding(classes, channels[-1])
            nn.init.xavier_uniform_(embedding.weight)
            self.projection = spectral(embedding)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Judge pictures.

        Args:
            images: `[N, image_channels, H, W]` in `[-1, 1]`; H and W divisible by `2 ** downs`.
            labels: class numbers `[N]`, int64, exactly where there are classes.

        Returns:
            Logits `[N, 1]`, high where the picture looks real, and of its class.

        Raises:
            ValueError: labels without classes, or classes without labels.
        """
        check_labels(self.classes, labels)
        features_NC = F.relu(self.blocks(images)).sum((2, 3))
        logits = self.verdict(features_NC)
        if self.classes:
            logits = logits + (self.projection(labels) * features_NC).sum(1, keepdim=True)
        return logits


class UpBlock(nn.Module):
    """Normalise, activate, double and convolve; normalise, activate and convolve; a shortcut past all of it."""

    def __init__(self, inner: int, outer: int, classes: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _batch_norm(inner, classes), _batch_norm(outer, classes)
        self.conv1, self.conv2 = _conv3x3(inner, outer), _conv3x3(outer, outer)
        self.shortcut = _glorot(nn.Conv2d(inner, outer, 1))

    def forward(self, x_NCHW: Tensor, labels: Tensor | None) -> Tensor:
        residual = self.conv1(_doubled(F.relu(_normalised(self.norm1, x_NCHW, labels))))
        residual = self.conv2(F.relu(_normalised(self.norm2, residual, labels)))
        # A convolution of one pixel and a doubling may change places; this way there are four times fewer pixels.
        return residual + _doubled(self.shortcut(x_NCHW))


class DownBlock(nn.Module):
    """Activate and convolve, twice, then halve or not; a shortcut past it, convolved where the shape changes."""

    def __init__(self, inner: int, outer: int, halve: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = spectral(_conv3x3(inner, inner)), spectral(_conv3x3(inner, outer))
        changes = halve or inner != outer
        self.shortcut = spectral(_glorot(nn.Conv2d(inner, outer, 1))) if changes else nn.Identity()
        self.halve = nn.AvgPool2d(2) if halve else nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        residual = self.conv2(F.relu(self.conv1(F.relu(x_NCHW))))
        return self.halve(residual) + self.shortcut(self.halve(x_NCHW))


class FirstDownBlock(nn.Module):
    """As a `DownBlock` that halves, but a picture is not activated before it is convolved."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = spectral(_conv3x3(inner, outer)), spectral(_conv3x3(outer, outer))
        self.shortcut = spectral(_glorot(nn.Conv2d(inner, outer, 1)))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        residual = self.conv2(F.relu(self.conv1(x_NCHW)))
        return F.avg_pool2d(residual, 2) + self.shortcut(F.avg_pool2d(x_NCHW, 2))


class ConditionalBatchNorm(nn.Module):
    """Batch norm with a scale and a shift for each class (Dumoulin et al. 2017, https://arxiv.org/abs/1610.07629)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x_NCHW: Tensor, labels: Tensor) -> Tensor:
        scale, shift = self.scale(labels)[:, :, None, None], self.shift(labels)[:, :, None, None]
        return scale * self.norm(x_NCHW) + shift


def _batch_norm(channels: int, classes: int) -> nn.Module:
    return ConditionalBatchNorm(channels, classes) if classes else nn.BatchNorm2d(channels)


def _normalised(norm: nn.Module, x_NCHW: Tensor, labels: Tensor | None) -> Tensor:
    return norm(x_NCHW) if labels is None else norm(x_NCHW, labels)


def _doubled(x_NCHW: Tensor) -> Tensor:
    return F.interpolate(x_NCHW, scale_factor=2.0, mode="nearest")


def _conv3x3(inner: int, outer: int) -> nn.Conv2d:
    """A convolution of a residual path, its first weights larger by the square root of 2, as the reference has it."""
    return _glorot(nn.Conv2d(inner, outer, 3, padding=1), math.sqrt(2))


def _glorot(layer: Weighted, gain: float = 1.0) -> Weighted:
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
