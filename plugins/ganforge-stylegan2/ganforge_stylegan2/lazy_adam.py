"""Adam for a player that is regularised in steps of its own."""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

Decay = Annotated[float, Field(ge=0, lt=1)]


def lazy_adam(
    params: Iterable[Tensor],
    lr: Annotated[float, Field(gt=0)] = 0.002,
    betas: tuple[Decay, Decay] = (0.0, 0.99),
    eps: Annotated[float, Field(gt=0)] = 1e-8,
    every: Annotated[int, Field(ge=1)] = 16,
) -> torch.optim.Adam:
    """Adam for a player with a second phase every k steps: it takes k + 1 steps where it would have taken k, each of
    them shorter by as much.

    Karras et al. 2020, appendix B, https://arxiv.org/abs/1912.04958: with `c = k / (k + 1)` the learning rate is
    `c * lr` and the betas are `betas ** c`. The corrected numbers are what statistics show, and what a schedule in the
    place of one of these options would itself have to give.

    Args:
        params: what it trains.
        lr: the learning rate of a player with one phase.
        betas: its decay of the gradient's mean and of its mean square.
        eps: added to the root of the mean square.
        every: k, which is the second phase's own `every`.
    """
    share = every / (every + 1)
    return torch.optim.Adam(params, lr=lr * share, betas=(betas[0] ** share, betas[1] ** share), eps=eps)
