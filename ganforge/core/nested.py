"""Values made of tensors: lists, tuples, named tuples and dicts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Apply a function to every tensor of a nested value."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(map_tensors(function, item) for item in value)
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(function, item) for item in value)
    return value


def detach(value: Any) -> Any:
    """The value without its graph."""
    return map_tensors(torch.Tensor.detach, value)


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor of a nested value, always in the same order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


def made_of_tensors(value: Any) -> bool:
    """Whether a value holds nothing but tensors: no number that could be another the next time."""
    if isinstance(value, dict):
        return all(map(made_of_tensors, value.values()))
    return all(map(made_of_tensors, value)) if isinstance(value, list | tuple) else isinstance(value, Tensor)


def split_rows(value: Any, sizes: Sequence[int]) -> list[Any]:
    """The samples of a nested value in groups of these sizes, each a nested value like it.

    Raises:
        ValueError: one of its tensors has another number of samples.
    """
    pieces: dict[int, Sequence[Tensor]] = {}
    for tensor in tensors(value):
        if tensor.ndim == 0 or len(tensor) != sum(sizes):
            raise ValueError(f"a tensor {list(tensor.shape)} is not made of {sum(sizes)} samples")
        pieces[id(tensor)] = tensor.split(list(sizes))  # whose backward is one concatenation, not a sum of slices
    return [_piece(value, pieces, number) for number in range(len(sizes))]


def _piece(value: Any, pieces: dict[int, Sequence[Tensor]], number: int) -> Any:
    return map_tensors(lambda tensor: pieces[id(tensor)][number], value)
