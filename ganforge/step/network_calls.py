"""How networks are called: as they are, compiled, or with their activations recomputed."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ganforge.core.torch_internals.compiling import generate, prepare_compiler
from ganforge.recipe.expressions import Call
from ganforge.step.levers import NONE, Levers
from ganforge.step.sharding import entry

Context = Callable[[], contextlib.AbstractContextManager[Any]]


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
    """Compiles functions for the shapes that they meet, one graph for each; what it cannot compile runs as it is."""

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


class Calls:
    """The calls of networks that expressions make."""

    def __init__(self, context: Context = contextlib.nullcontext, levers: Levers = NONE) -> None:
        self.context, self.levers = context, levers
        self.compiler = Compiler(levers.layouts)
        self.forwards: Counter[str] = Counter()
        """How often each network was called; methods count apart, as `G.encode`."""
        self._compiled: dict[str, Callable[..., Any]] = {}

    def __call__(
        self,
        network: nn.Module,
        call: Call,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
        *,
        learning: bool,
        twice: bool,
        count: int,
    ) -> Any:
        """Call a network.

        Args:
            network: it.
            call: how the recipe writes it, with the method that is called.
            arguments: what it is given.
            keywords: likewise, by name.
            learning: whether this is a step's; for panels and metrics, of other shapes and modes, nothing is compiled.
            twice: whether its gradient may be differentiated again, which compiled code cannot do.
            count: how many calls of the recipe it stands for.
        """
        self.forwards[call.function] += count
        function = entry(network, call.method) if call.method else network
        if call.name in self.levers.compiled and not twice and (learning or torch.is_inference_mode_enabled()):
            if call.function not in self._compiled:
                self._compiled[call.function] = self.compiler(call.function, function)
            function = self._compiled[call.function]
        if learning and torch.is_grad_enabled() and call.name in self.levers.recomputed:
            function = _recomputing(function, draws=call.function not in self.levers.quiet)
        with self.context():
            return function(*arguments, **keywords)


def _recomputing(function: Callable[..., Any], draws: bool) -> Callable[..., Any]:
    """The function, of whose activations none are kept; one that draws random numbers draws the same again."""
    return lambda *arguments, **keywords: checkpoint(
        function, *arguments, use_reentrant=False, preserve_rng_state=draws, **keywords
    )
