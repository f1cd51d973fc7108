"""Labels, for networks that know classes."""

import torch
from torch import Tensor, nn

from ganforge_stylegan2.layers import EqualLinear, normalise


class LabelEmbedding(nn.Module):
    """A vector `[N, size]` of mean square 1 for each label `[N]`."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.classes = classes
        self.linear = EqualLinear(classes, size)

    def forward(self, labels: Tensor) -> Tensor:
        chosen = labels[:, None] == torch.arange(self.classes, device=labels.device)
        return normalise(self.linear(chosen.to(self.linear.weight.dtype)))


def check_labels(embedding: nn.Module | None, labels: Tensor | None) -> None:
    """Labels are given where, and only where, a network was built for them.

    Raises:
        ValueError: they are not.
    """
    if embedding is None and labels is not None:
        raise ValueError("labels were given to a network without classes; set its option `classes`, or leave them out")
    if embedding is not None and labels is None:
        raise ValueError("a network with classes was given no labels; pass them as its second argument")
