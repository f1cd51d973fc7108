"""Losses: with traits, of several tensors, with a state, and of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganforge import traits


@traits(scores=("real", "fake"), boundary=0.0)
def warm_d(real: Tensor, fake: Tensor, margin: Annotated[float, Field(gt=0)] = 1.0) -> Tensor:
    """Reals above the margin, fakes below its negative.

    Args:
        real: logits of lit rooms.
        fake: logits of rooms that a wick has lit.
        margin: how far apart they should be.
    """
    return torch.relu(margin - real).mean() + torch.relu(margin + fake).mean()


def warm_g(fake: Tensor) -> Tensor:
    """Fakes that look real: `-mean(fake)`."""
    return -fake.mean()


@traits(wrt=("images",))
def steep(logits: Tensor, images: Tensor) -> Tensor:
    """The squared slope of the keeper at its images."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def kin(images: Sequence[Tensor]) -> Tensor:
    """How far each is from the mean of all of them."""
    stack = torch.stack(list(images))
    return (stack - stack.mean(0)).square().mean()


@traits(couples_samples=True)
class Steady(nn.Module):
    """How far the brightness is from what it was on average before."""

    def __init__(self, memory: Annotated[float, Field(ge=0, lt=1)] = 0.9) -> None:
        super().__init__()
        self.memory = memory
        self.before: Tensor
        self.register_buffer("before", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """Compare images `[N, C, H, W]`."""
        now = images.mean()
        loss = (now - self.before).square()
        self.before = self.before.lerp(now.detach(), 1 - self.memory)
        return loss


def through(images: Tensor, target: Tensor, network: nn.Module) -> Tensor:
    """How far a network's image of images is from a target."""
    return (network(images) - target).square().mean()
