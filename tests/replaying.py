"""What CUDA graphs do, on a CPU: operations are noted with the memory that they read and write, and done again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ganforge.core.nested import tensors

T = TypeVar("T")


class Tape(TorchDispatchMode):
    """Every operation, with its arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, list(tensors(results))))
        return results

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, results in self.operations:
                for old, new in zip(results, tensors(func(*args, **kwargs)), strict=True):
                    if old.data_ptr() != new.data_ptr():  # neither a view nor in place
                        old.data.copy_(new)  # unseen by autograd, as a replay is


def recorder(networks: nn.Module) -> Callable[[Callable[[], T]], tuple[Callable[[], None], T]]:
    """Records as a CUDA graph does: afterwards the networks are as they were, and no random number has been drawn."""

    def record(work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        tape, drawn = Tape(), torch.get_rng_state()
        before = [(buffer, buffer.clone()) for buffer in networks.buffers()]
        with tape:
            result = work()
        for buffer, value in before:
            buffer.data.copy_(value)
        torch.set_rng_state(drawn)
        return tape.replay, result

    return record
