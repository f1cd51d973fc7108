"""What ranks tell each other beside gradients: JSON and tensors on the CPU. No pickle travels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ganforge.core.serialise import dtype_named, put_together, take_apart


def gather_json(value: Any) -> list[Any]:
    """The values of all ranks, in their order."""
    text = _encoded(value)
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, torch.tensor([len(text)]))
    longest = int(max(sizes))
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(text)] = text
    texts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(texts, padded)
    return [_decoded(text[: int(size)]) for text, size in zip(texts, sizes, strict=True)]


def broadcast_json(value: Any) -> Any:
    """Rank 0's value, at every rank."""
    text = _encoded(value) if dist.get_rank() == 0 else torch.empty(0, dtype=torch.uint8)
    size = torch.tensor([len(text)])
    dist.broadcast(size, 0)
    text = text if dist.get_rank() == 0 else torch.empty(int(size), dtype=torch.uint8)
    dist.broadcast(text, 0)
    return _decoded(text)


def send(state: Any, rank: int) -> None:
    """Send a state, any that `core.serialise.split` takes, to a rank that receives it."""
    tensors: dict[str, Tensor] = {}
    plain = take_apart(state, "", tensors)
    text = _encoded([plain, _described(tensors)])
    dist.send(torch.tensor([len(text)]), rank)
    dist.send(text, rank)
    for tensor in filter(Tensor.numel, tensors.values()):
        dist.send(_bytes(tensor), rank)


def receive(rank: int) -> Any:
    """The state that a rank sends."""
    size = torch.zeros(1, dtype=torch.int64)
    dist.recv(size, rank)
    text = torch.empty(int(size), dtype=torch.uint8)
    dist.recv(text, rank)
    plain, described = _decoded(text)
    tensors = _empty(described)
    for tensor in filter(Tensor.numel, tensors.values()):
        dist.recv(_bytes(tensor), rank)
    return put_together(plain, tensors)


def broadcast(state: Any) -> Any:
    """Rank 0's state, at every rank."""
    tensors: dict[str, Tensor] = {}
    told = None
    if dist.get_rank() == 0:
        plain = take_apart(state, "", tensors)
        told = [plain, _described(tensors)]
    plain, described = broadcast_json(told)
    if dist.get_rank():
        tensors = _empty(described)
    for tensor in filter(Tensor.numel, tensors.values()):
        dist.broadcast(_bytes(tensor), 0)
    return put_together(plain, tensors)


def _described(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {key: [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)] for key, tensor in tensors.items()}


def _empty(described: Mapping[str, Any]) -> dict[str, Tensor]:
    return {key: torch.empty(shape, dtype=dtype_named(dtype)) for key, (dtype, shape) in described.items()}


def _bytes(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, in the same memory: not every type can travel."""
    return tensor.view(-1).view(torch.uint8)


def _encoded(value: Any) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _decoded(text: Tensor) -> Any:
    return json.loads(text.numpy().tobytes())
