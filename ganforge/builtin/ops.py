"""Ops for expressions."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import Context


def noise(size: int, *, context: Context) -> Tensor:
    """Latent vectors `[N, size]` from a standard normal distribution, as many as the batch has samples.

    Args:
        size: numbers of a vector.
        context: filled in by the engine.
    """
    return torch.randn(context.batch_size, size, device=context.device, dtype=context.dtype)


def one_hot(labels: Tensor, classes: Annotated[int, Field(ge=1)], *, context: Context) -> Tensor:
    """Class numbers `[N]` as vectors `[N, classes]`, 1 at the class and 0 elsewhere.

    Args:
        labels: int64 in `[0, classes)`.
        classes: how many there are.
        context: filled in by the engine.
    """
    return (labels[:, None] == torch.arange(classes, device=labels.device)).to(context.dtype)


def random_labels(classes: Annotated[int, Field(ge=1)], *, context: Context) -> Tensor:
    """Class numbers `[N]`, int64 in `[0, classes)`, as many as the batch has samples, each class as likely.

    Args:
        classes: how many there are.
        context: filled in by the engine.
    """
    return torch.randint(classes, (context.batch_size,), device=context.device)


def shuffle(values: Tensor) -> Tensor:
    """The samples of a batch `[N, ...]` in random order: labels to be translated to, fakes to be compared with."""
    return values[torch.randperm(len(values), device=values.device)]


def concat(first: Tensor, *others: Tensor) -> Tensor:
    """Tensors joined along their channels: `[N, C1, ...]` and `[N, C2, ...]` become `[N, C1 + C2, ...]`."""
    return torch.cat((first, *others), dim=1)
