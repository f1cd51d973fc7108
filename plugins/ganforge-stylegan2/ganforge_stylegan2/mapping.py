"""From latent vectors to styles."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganforge_stylegan2.labels import LabelEmbedding, check_labels
from ganforge_stylegan2.layers import equal_layers, normalise
from ganforge_stylegan2.options import Count, Side, style_count


class Mapping(nn.Module):
    """Turns latent vectors into styles, and repeats each for every layer of the synthesis network.

    Karras et al. 2019, section 2, https://arxiv.org/abs/1812.04948; Karras et al. 2020,
    https://arxiv.org/abs/1912.04958.

    Args:
        size_px: side of the images that the styles are for: it says how many layers take one.
        latent_size: length of a latent vector.
        style_size: length of a style, and of the layers between.
        layers: fully connected layers; 8 in StyleGAN2, 2 in the `auto` configuration of StyleGAN2-ADA.
        speed: what the learning rate of these layers is multiplied by.
        classes: how many classes labels are from; without, it takes no labels.
    """

    def __init__(
        self,
        size_px: Side = 256,
        latent_size: Count = 512,
        style_size: Count = 512,
        layers: Count = 8,
        speed: Annotated[float, Field(gt=0)] = 0.01,
        classes: Count | None = None,
    ) -> None:
        super().__init__()
        self.copies = style_count(size_px)
        self.label = LabelEmbedding(classes, style_size) if classes else None
        first = latent_size + (style_size if classes else 0)
        self.layers = equal_layers([first, *[style_size] * layers], speed)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latent vectors.

        Args:
            latents: `[N, latent_size]` from a normal distribution.
            labels: int64 `[N]` in `[0, classes)`.

        Returns:
            `[N, L, style_size]`: L equal styles, two for each side from 4 px to `size_px`.

        Raises:
            ValueError: there are labels without `classes`, or the reverse.
        """
        check_labels(self.label, labels)
        x_NC = normalise(latents)
        if self.label is not None:
            x_NC = torch.cat((x_NC, self.label(labels)), dim=1)
        return self.layers(x_NC)[:, None].expand(-1, self.copies, -1)
