"""From noise to pictures."""

import torch
from torch import Tensor, nn

from ganforge_r3gan.layers import FIRST_PX, Count, ResidualBlock, Upsample, Widths, check_label, conv, embedding, linear


class Generator(nn.Module):
    """Draws pictures from noise: stages of residual blocks, each at twice the size of the one before, no normalisation.

    Huang et al. 2024, configuration E, https://arxiv.org/abs/2501.05441.

    Args:
        channels: of each stage, that of 4 x 4 pixels first; the pictures have a side of 4 * 2 ** (stages - 1) px.
        blocks: residual blocks of each stage.
        expansion: the 3x3 convolutions have so many times the channels of their stage.
        group_channels: of each group of the 3x3 convolutions; the paper's cardinality is channels * expansion divided
            by it.
        latents: numbers of a noise vector.
        classes: labels to draw pictures of; without it the network takes none.
        out_channels: channels of the pictures.

    Raises:
        ValueError: the channels of a stage do not divide into groups.
    """

    def __init__(
        self,
        channels: Widths = (768, 768, 768, 768, 384),
        blocks: Count = 2,
        expansion: Count = 2,
        group_channels: Count = 16,
        latents: Count = 64,
        classes: Count | None = None,
        out_channels: Count = 3,
    ) -> None:
        super().__init__()
        self.label = None if classes is None else embedding(classes, latents)
        modules: list[nn.Module] = []
        for stage, width in enumerate(channels):
            if stage == 0:
                modules.append(Basis(latents if classes is None else 2 * latents, width))
            else:
                before = channels[stage - 1]
                modules += [conv(before, width)] if before != width else []
                modules.append(Upsample())
            modules += [ResidualBlock(width, expansion, group_channels, blocks * len(channels)) for _ in range(blocks)]
        self.model = nn.Sequential(*modules, conv(channels[-1], out_channels))

    def forward(self, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """Draw a picture for each noise vector.

        Args:
            noise: `[N, latents]`, from a standard normal distribution.
            label: `[N]`, int64 in `[0, classes)`; for a network of classes only.

        Returns:
            Pictures `[N, out_channels, size, size]`. Those to learn from are in `[-1, 1]`; nothing bounds these.

        Raises:
            ValueError: a label is missing, or one is given to a network without classes.
        """
        check_label(label, self.label)
        if self.label is not None:
            noise = torch.cat((noise, self.label(label)), dim=1)
        return self.model(noise)


class Basis(nn.Module):
    """A learnt pattern of 4 x 4 pixels for each channel, scaled by a linear function of the noise."""

    def __init__(self, in_features: int, channels: int) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.randn(channels, FIRST_PX, FIRST_PX))
        self.scale = linear(in_features, channels)

    def forward(self, noise: Tensor) -> Tensor:
        return self.patterns * self.scale(noise)[:, :, None, None]
