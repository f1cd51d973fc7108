"""Losses: functions of tensors that return one number."""

from typing import Annotated

from pydantic import Field
from torch import Tensor


def charbonnier(input: Tensor, target: Tensor, epsilon: Annotated[float, Field(gt=0)] = 1e-3) -> Tensor:
    """A smooth L1: `mean(sqrt((input - target)^2 + epsilon^2))`.

    Charbonnier et al. 1994, "Two deterministic half-quadratic regularization algorithms for computed imaging".

    Args:
        input: `[N, ...]`, any shape.
        target: as `input`.
        epsilon: the difference below which it is a parabola rather than a line.
    """
    return ((input - target).square() + epsilon**2).sqrt().mean()
