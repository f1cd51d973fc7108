"""Augmentations: what is done to training samples before networks see them."""

import random
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor


def vignette(picture: Tensor, rng: random.Random, most: Annotated[float, Field(ge=0, le=1)] = 0.5) -> Tensor:
    """A picture that is darker towards its corners, as wide lenses make it.

    Light falls off with the fourth power of the cosine of its angle; near the centre that is nearly quadratic.

    Args:
        picture: `[C, H, W]` in `[-1, 1]`.
        rng: decides how much; filled in by the engine.
        most: the largest share of light that a corner loses.
    """
    down, right = (torch.linspace(-1, 1, side, device=picture.device) for side in picture.shape[1:])
    lost = rng.uniform(0, most) * (down[:, None] ** 2 + right**2) / 2
    return (picture + 1) * (1 - lost) - 1
