"""Losses that belong to no family. Each takes tensors of one shape and returns their mean difference.

Unequal shapes raise a ValueError: torch would broadcast them, and train on nonsense.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor


def l1(input: Tensor, target: Tensor) -> Tensor:
    """The mean absolute difference, `mean(|input - target|)`."""
    _same_shape(input, target)
    return F.l1_loss(input, target)


def l2(input: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference, `mean((input - target)^2)`."""
    _same_shape(input, target)
    return F.mse_loss(input, target)


def smooth_l1(input: Tensor, target: Tensor, beta: Annotated[float, Field(gt=0)] = 1.0) -> Tensor:
    """Squared below `beta`, absolute above (Girshick 2015, equation 3).

    Args:
        input: what is trained.
        target: what it should be.
        beta: the difference at which the two meet.
    """
    _same_shape(input, target)
    return F.smooth_l1_loss(input, target, beta=beta)


def _same_shape(input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ValueError(f"input {list(input.shape)} and target {list(target.shape)} differ in shape")
