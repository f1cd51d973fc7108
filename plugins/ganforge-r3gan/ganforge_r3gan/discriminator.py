"""From pictures to logits."""

import math

import torch
from torch import Tensor, nn

from ganforge_r3gan.layers import (
    FIRST_PX,
    Count,
    Downsample,
    ResidualBlock,
    Widths,
    check_label,
    conv,
    draw,
    embedding,
    linear,
    side_px,
)


class Discriminator(nn.Module):
    """Judges pictures: the generator's stages in reverse order, then one number a picture, no normalisation.

    With `classes` it judges pictures as those of a class, by the projection of their features on a vector that it
    learns for the class. Huang et al. 2024, configuration E, https://arxiv.org/abs/2501.05441.

    Args:
        channels: of each stage, that of 4 x 4 pixels first, as the generator's; the pictures have a side of
            4 * 2 ** (stages - 1) px.
        blocks: residual blocks of each stage.
        expansion: the 3x3 convolutions have so many times the channels of their stage.
        group_channels: of each group of the 3x3 convolutions; the paper's cardinality is channels * expansion divided
            by it.
        classes: labels that pictures come with; without it the network takes none.
        in_channels: channels of the pictures.

    Raises:
        ValueError: the channels of a stage do not divide into groups.
    """

    def __init__(
        self,
        channels: Widths = (768, 768, 768, 768, 384),
        blocks: Count = 2,
        expansion: Count = 2,
        group_channels: Count = 16,
        classes: Count | None = None,
        in_channels: Count = 3,
    ) -> None:
        super().__init__()
        self.size_px = side_px(channels)
        modules: list[nn.Module] = [conv(in_channels, channels[-1])]
        for stage, width in reversed(list(enumerate(channels))):
            modules += [ResidualBlock(width, expansion, group_channels, blocks * len(channels)) for _ in range(blocks)]
            if stage > 0:
                after = channels[stage - 1]
                modules.append(Downsample())
                modules += [conv(width, after)] if after != width else []
        features = channels[0]
        self.model = nn.Sequential(*modules, Head(features, 1 if classes is None else features))
        # Both factors of the projection start with unit variance but for this gain, and so does their product.
        self.label = None if classes is None else embedding(classes, features, gain=1 / math.sqrt(features))

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        """Judge pictures.

        Args:
            images: `[N, in_channels, size, size]` in `[-1, 1]`.
            label: `[N]`, int64 in `[0, classes)`; for a network of classes only.

        Returns:
            Logits `[N]`, high where the picture looks real beside others.

        Raises:
            ValueError: the pictures have another size, a label is missing, or one is given to a network without
                classes.
        """
        if images.shape[-2:] != (self.size_px, self.size_px):
            found = " x ".join(map(str, images.shape[-2:]))
            raise ValueError(f"the pictures are of {found} px, not {self.size_px}: 'channels' has an entry a halving")
        check_label(label, self.label)
        verdict = self.model(images)
        if self.label is not None:
            verdict = verdict * self.label(label)
        return verdict.sum(1)


class Head(nn.Module):
    """A weighted sum over the 4 x 4 pixels of each channel, then a linear layer: `[N, C, 4, 4]` to `[N, features]`."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.empty(channels, FIRST_PX, FIRST_PX))
        draw(self.patterns, FIRST_PX**2)
        self.verdict = linear(channels, features)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.verdict((x_NCHW * self.patterns).sum((2, 3)))
