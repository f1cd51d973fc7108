"""Where a run computes, and how precisely."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ganforge.errors import EnvironmentFault, UsageError
from ganforge.ranks import ALONE, World


def choose_device(name: str, world: World = ALONE) -> torch.device:
    """The device of `run.device`; `auto` takes a GPU where there is one, and every rank of a host one of its own.

    Raises:
        EnvironmentFault: this machine has no such device, or fewer than ranks.
        UsageError: there is none of this name, or all ranks should compute on one.
    """
    if world.size > 1:
        return _of_rank(name, world)
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"there is no device '{name}'; give auto, cpu, cuda, cuda:1 or mps") from error
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise EnvironmentFault(f"run.device is {name}, but torch finds {_gpus()}; try run.device=auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise EnvironmentFault("run.device is mps, but torch finds no Apple GPU; try run.device=auto")
    return device


def _of_rank(name: str, world: World) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"run.device is {name}, but there are {world.size} ranks; give auto, cpu or cuda")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if torch.cuda.device_count() < world.local_size:
        found = f"{world.local_size} ranks on this host, but torch finds {_gpus()}"
        raise EnvironmentFault(f"{found}: each rank needs one of its own")
    return torch.device("cuda", world.local_rank)


def _gpus() -> str:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"{count} CUDA GPU{'s' if count != 1 else ''}" if count else "no CUDA GPU"


def untried(precision: str) -> str:
    """`run.precision` where nothing is tried on a device: `auto` is fp32."""
    return "fp32" if precision == "auto" else precision


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


@dataclass(frozen=True)
class Precision:
    """`run.precision`: the type of the weights, and that in which networks run."""

    name: str
    device: torch.device
    channels_last: bool = False
    """Whether images, and the weights of their convolutions, have their channels innermost in memory."""

    def __post_init__(self) -> None:
        if self.name == "auto":
            raise ValueError("what `auto` is must be settled before anything is computed")

    @property
    def weights(self) -> torch.dtype:
        """The type of parameters and batches."""
        return torch.float64 if self.name == "fp64" else torch.float32

    @property
    def scaled(self) -> bool:
        """Whether gradients need scaling, as those of fp16 do."""
        return self.name == "fp16"

    def forward(self) -> Callable[[], contextlib.AbstractContextManager[Any]]:
        """A context manager to call networks in. Losses run outside of it, in the weights' type; ops outside of it, in
        the type of what they are given."""
        low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.name)
        if low is None:
            return contextlib.nullcontext
        return lambda: torch.autocast(self.device.type, low)

    def widen(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor in the type that losses compute in."""
        return tensor.to(self.weights) if tensor.is_floating_point() else tensor

    def place(self, module: nn.Module) -> nn.Module:
        """Move a module to the device, in the weights' type."""
        module = module.to(device=self.device, dtype=self.weights)
        if self.channels_last and not any(map(is_lazy, module.parameters())):
            return module.to(memory_format=torch.channels_last)
        return module

    def arrange(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor of a batch in the layout that networks want of images."""
        images = self.channels_last and tensor.ndim == 4
        return tensor.contiguous(memory_format=torch.channels_last) if images else tensor

    def set_up(self, deterministic: bool = False) -> None:
        """Let float32 matrix products use TensorFloat-32, or not, on GPUs that have it; choose kernels.

        Args:
            deterministic: take kernels that give the same bits each time, where torch has one, and warn where not.
        """
        # Read when CUDA starts; without it some matrix products are not deterministic.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        known = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        if known[0] != deterministic or known == (True, False):  # to say what holds would import torch's compiler
            torch.use_deterministic_algorithms(deterministic, warn_only=True)
        if self.device.type == "cuda":
            exact = self.name in {"fp32", "fp64"}
            # The older of torch's two ways: its compiler still asks by this one, and refuses a mixture.
            torch.set_float32_matmul_precision("highest" if exact else "high")
            torch.backends.cudnn.allow_tf32 = not exact
            torch.backends.cudnn.benchmark = not deterministic
        if self.device.index is not None:
            torch.accelerator.set_device_index(self.device.index)
