"""Style mixing."""

import torch
from torch import Tensor

from ganforge_stylegan2.options import Probability


def mix_styles(first: Tensor, second: Tensor, probability: Probability = 0.9) -> Tensor:
    """Styles `[N, L, size]` that change from `first` to `second` at a random layer, so that neighbouring layers do not
    rely on each other.

    Karras et al. 2019, section 3.1, https://arxiv.org/abs/1812.04948. Each sample has a layer of its own, the first
    never included; the reference draws one for the whole batch of a GPU.

    Args:
        first: styles of the coarse layers.
        second: styles of the fine ones, from other latent vectors.
        probability: how many of the samples are mixed.
    """
    batch, layers = first.shape[:2]
    crossover = torch.randint(1, layers, (batch, 1), device=first.device)
    mixed = torch.rand(batch, 1, device=first.device) < probability
    later = torch.arange(layers, device=first.device) >= crossover
    return torch.where((mixed & later)[:, :, None], second, first)
