"""Many tensors in one call, and what a tensor knows of itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves as tree_leaves
from torch.utils._pytree import tree_map_only as tree_map_only

copy_each = torch._foreach_copy_
lerp_each = torch._foreach_lerp_
norm_each = torch._foreach_norm
zero_each = torch._foreach_zero_


def sparse_parts(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The indices and values of a sparse COO tensor, also of one that is not coalesced."""
    return tensor._indices(), tensor._values()


def writes(tensor: Tensor) -> int:
    """How often a tensor was written in place."""
    return tensor._version


def schema_of(operation: Any) -> Any:
    """The arguments of an operation, with their names and types."""
    return operation._schema
