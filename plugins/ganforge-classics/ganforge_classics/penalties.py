"""Penalties on the slope of a discriminator, which keep its game with the generator smooth.

`logits` are its verdicts of any shape `[N, ...]` on `images` `[N, ...]`: bound to one expression and to what stands
inside of it, as in `logits: D(real), images: real`, they share the forward of the adversarial loss.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import traits


@traits(wrt=("images",))
def gradient_penalty(logits: Tensor, images: Tensor, target: Annotated[float, Field(ge=0)] = 1.0) -> Tensor:
    """Holds the slope at each image near `target`: `mean((|d logits / d images| - target)^2)`.

    WGAN-GP (Gulrajani et al. 2017, algorithm 1, https://arxiv.org/abs/1704.00028) takes it at `interpolate(real, fake)`
    with a weight of 10, DRAGAN (Kodali et al. 2017, https://arxiv.org/abs/1705.07215) at `perturb(real)`.

    Args:
        logits: verdicts on `images`, `[N, ...]`.
        images: where the slope is taken.
        target: the slope to be held.
    """
    return (_slope(logits, images).norm(2, dim=1) - target).square().mean()


@traits(wrt=("images",))
def r1(logits: Tensor, images: Tensor) -> Tensor:
    """The squared slope, `mean(|d logits / d images|^2)`: a weight of gamma / 2 makes it the paper's.

    On real images R1, on fakes R2 (Mescheder et al. 2018, equations 9 and 10, https://arxiv.org/abs/1801.04406).
    """
    return _slope(logits, images).square().sum(1).mean()


def _slope(logits: Tensor, images: Tensor) -> Tensor:
    """The gradient of each image's verdict, flattened to `[N, values]`."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1)
