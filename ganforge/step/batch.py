"""A batch on the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ganforge import images
from ganforge.api.datasets import Sample
from ganforge.ranks.device import Precision
from ganforge.recipe.model import Recipe

PICTURES = (torch.uint8, torch.uint16)
"""Types that hold nothing but pictures."""
Batch = Mapping[str, Tensor]
"""The fields of a batch, `[N, ...]` each."""


def to_device(batch: Sample, precision: Precision) -> dict[str, Tensor]:
    """A batch on the device: floats in the weights' type, pictures of uint8 and uint16 as floats in `[-1, 1]`."""
    return {name: _widened(images.upload(tensor, precision.device), precision) for name, tensor in batch.items()}


def _widened(tensor: Tensor, precision: Precision) -> Tensor:
    return precision.arrange(precision.widen(images.to_float(tensor) if tensor.dtype in PICTURES else tensor))


def blank_batch(recipe: Recipe, precision: Precision, validation: bool = False) -> dict[str, Tensor]:
    """A batch of zeros with the fields, shapes and types of the recipe's data."""
    dataset, size = recipe.dataset, recipe.loader.batch_size
    shapes = dataset.validation_shapes() if validation else dataset.shapes()
    dtypes = dataset.dtypes()
    return {
        name: torch.zeros(size, *shape, device=precision.device, dtype=dtypes.get(name, precision.weights))
        for name, shape in shapes.items()
    }
