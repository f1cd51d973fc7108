"""From latent vectors to styles."""

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganforge_stylegan2.layers import EqualLinear, activate, normalise
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
        widths = [first, *[style_size] * layers]
        self.layers = equal_layers(widths, speed)

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


class LabelEmbedding(nn.Module):
    """A vector `[N, size]` of mean square 1 for each label `[N]`."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.classes = classes
        self.linear = EqualLinear(classes, size)

    def forward(self, labels: Tensor) -> Tensor:
        chosen = labels[:, None] == torch.arange(self.classes, device=labels.device)
        return normalise(self.linear(chosen.to(self.linear.weight.dtype)))


class Activated(nn.Module):
    """A linear layer and its activation."""

    def __init__(self, inputs: int, outputs: int, speed: float = 1.0) -> None:
        super().__init__()
        self.linear = EqualLinear(inputs, outputs, speed)

    def forward(self, x_NC: Tensor) -> Tensor:
        return activate(self.linear(x_NC))


def equal_layers(widths: list[int], speed: float) -> nn.Sequential:
    """Activated layers from each width to the next."""
    return nn.Sequential(*(Activated(inputs, outputs, speed) for inputs, outputs in pairwise(widths)))


def check_labels(embedding: nn.Module | None, labels: Tensor | None) -> None:
    """Labels are given where, and only where, a network was built for them.

    Raises:
        ValueError: they are not.
    """
    if embedding is None and labels is not None:
        raise ValueError("labels were given to a network without classes; set its option `classes`, or leave them out")
    if embedding is not None and labels is None:
        raise ValueError("a network with classes was given no labels; pass them as its second argument")
