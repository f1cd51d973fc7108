"""`torch.compile` for networks: what it cannot compile runs as it is, and what it compiles is counted."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.core.torch_internals.compiling import generate, prepare_compiler


@cache
def missing_compiler(device: str) -> str | None:
    """Why no code can be generated for a type of device on this machine; None if it can."""
    if device == "cuda":
        return None if find_spec("triton") else "Triton is not installed"
    if device != "cpu":
        return f"torch.compile is not tried on {device}"
    if sys.platform == "win32":
        return None if shutil.which("cl") else "no C++ compiler (cl) was found"
    names = [os.environ.get("CXX", "g++"), "clang++"]
    return None if any(map(shutil.which, names)) else f"no C++ compiler ({' or '.join(names)}) was found"


class Compiler:
    """Compiles functions for the shapes that they meet, one graph for each."""

    def __init__(self, layouts: bool = True) -> None:
        self.options = {} if layouts else {"layout_optimization": False}
        self.graphs = 0
        """Graphs compiled so far: after the first steps there should be no more."""

    def __call__(self, name: str, function: Callable[..., Any] | nn.Module) -> Callable[..., Any]:
        """The function, compiled at its first call with each set of shapes."""
        prepare_compiler(graphs=64)
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # a machine without a GPU is no news

        def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
            self.graphs += 1
            try:
                return generate(graph, inputs, self.options)
            except Exception as error:  # whatever its generator of code stumbles on
                reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
                warnings.warn(f"'{name}' cannot be compiled and runs as it is: {reason}", stacklevel=1)
                return graph.forward

        # The few shapes of a training each have code of their own, which is faster than code for all shapes.
        return torch.compile(function, backend=backend, dynamic=False)
