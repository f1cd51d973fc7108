"""How networks are called: as they are, compiled, or with their activations recomputed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ganforge.recipe.expressions import Call
from ganforge.step.compiling import Compiler
from ganforge.step.levers import NONE, Levers
from ganforge.step.sharding import entry

Context = Callable[[], contextlib.AbstractContextManager[Any]]


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
            function = self._compile(call.function, function)
        if learning and torch.is_grad_enabled() and call.name in self.levers.recomputed:
            function = _recomputing(function, draws=call.function not in self.levers.quiet)
        with self.context():
            return function(*arguments, **keywords)

    def _compile(self, name: str, function: Callable[..., Any] | nn.Module) -> Callable[..., Any]:
        if name not in self._compiled:
            self._compiled[name] = self.compiler(name, function)
        return self._compiled[name]


def _recomputing(function: Callable[..., Any], draws: bool) -> Callable[..., Any]:
    """The function, of whose activations none are kept; one that draws random numbers draws the same again."""
    return lambda *arguments, **keywords: checkpoint(
        function, *arguments, use_reentrant=False, preserve_rng_state=draws, **keywords
    )
