"""Path-length regularisation."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganforge import traits


@traits(wrt=("latents",), couples_samples=True)
class PathLength(nn.Module):
    """Holds how far an image moves for a step of one length in its style near the running mean `a` of that:
    `mean((|J^T y| - a)^2)`.

    Karras et al. 2020, equation 4, https://arxiv.org/abs/1912.04958: J is the derivative of the image with respect to
    the style, y an image of noise. With one style a layer, `|J^T y|^2` is averaged over layers, as in the reference;
    and as there, the mean that a batch is compared with has this batch in it, gradient and all.

    Args:
        decay: how much of the running mean is replaced each time.
    """

    mean_length: Tensor

    def __init__(self, decay: Annotated[float, Field(gt=0, le=1)] = 0.01) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean_length", torch.zeros(()))

    def forward(self, images: Tensor, latents: Tensor) -> Tensor:
        """Penalise images made from latents: `images: S(w), latents: w`.

        Args:
            images: `[N, C, H, W]`.
            latents: styles `[N, L, size]`, from which the images were computed.
        """
        # Not randn_like: which pixel gets which number must not depend on how the images lie in memory.
        noise = torch.randn(images.shape, device=images.device, dtype=images.dtype)
        noise = noise / math.sqrt(images.shape[2] * images.shape[3])
        (gradient,) = torch.autograd.grad((images * noise).sum(), latents, create_graph=True)
        # As a norm its gradient is 0, not infinite, where all is 0.
        lengths = torch.linalg.vector_norm(gradient, dim=(1, 2)) / math.sqrt(gradient.shape[1])
        mean = torch.lerp(self.mean_length, lengths.mean(), self.decay)
        self.mean_length.copy_(mean.detach())
        return (lengths - mean).square().mean()
