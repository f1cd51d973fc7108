"""Ops for expressions."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge import Context


def noise(size: int, *, context: Context) -> Tensor:
    """Latent vectors `[N, size]` from a standard normal distribution, as many as the batch has samples."""
    return torch.randn(context.batch_size, size, device=context.device, dtype=context.dtype)


def concat(first: Tensor, *others: Tensor) -> Tensor:
    """Tensors joined along their channels: `[N, C1, ...]` and `[N, C2, ...]` become `[N, C1 + C2, ...]`."""
    return torch.cat((first, *others), dim=1)
