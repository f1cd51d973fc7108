"""Where gradient penalties look: between a real and a fake sample, or next to a real one."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor


def interpolate(real: Tensor, fake: Tensor) -> Tensor:
    """A random point on the line between each pair of samples `[N, ...]`: one uniform share a pair.

    The x-hat of WGAN-GP (Gulrajani et al. 2017, algorithm 1, https://arxiv.org/abs/1704.00028).
    """
    return real + _share(real) * (fake - real)


def perturb(real: Tensor, scale: Annotated[float, Field(gt=0)] = 0.5) -> Tensor:
    """Real samples `[N, ...]`, each moved by noise: `real + share * scale * std(real) * uniform`.

    `uniform` is drawn from `[0, 1)` for every value and `share` from `[0, 1)` for every sample; `std` is that of all
    values of the batch. So does the authors' code of DRAGAN (Kodali et al. 2017, https://arxiv.org/abs/1705.07215); the
    paper writes Gaussian noise instead.

    Args:
        real: samples, of pictures or of points.
        scale: how far the noise reaches, in standard deviations.
    """
    noise = torch.rand_like(real)
    return real + _share(real) * scale * real.std(correction=0) * noise


def _share(samples: Tensor) -> Tensor:
    """A number in `[0, 1)` for each sample, `[N, 1, ...]`."""
    shape = (len(samples), *(1,) * (samples.ndim - 1))
    return torch.rand(shape, device=samples.device, dtype=samples.dtype)
