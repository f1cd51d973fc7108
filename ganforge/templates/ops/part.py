"""Ops: what expressions call and nobody trains."""

from typing import Annotated

import torch
from ganforge import Context
from pydantic import Field
from torch import Tensor


def brightness(images: Tensor, strength: Annotated[float, Field(ge=0)] = 0.5, *, context: Context) -> Tensor:
    """Images, each made lighter or darker as a whole: a discriminator that sees few images learns them less by heart.

    The colour policy of Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training",
    https://arxiv.org/abs/2006.10738. Gradients pass.

    Args:
        images: `[N, C, H, W]`.
        strength: the widest change, up or down, of pixels in `[-1, 1]`.
        context: filled in by the engine.
    """
    change = torch.rand(context.batch_size, 1, 1, 1, device=images.device, dtype=images.dtype) * 2 - 1
    return images + strength * change
