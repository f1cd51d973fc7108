"""A scene that is watched: what its calls compute, draw and change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.api.context import BEGINNING
from ganforge.core.randomness import host_generators
from ganforge.core.torch_internals.fake import TorchDispatchMode
from ganforge.core.torch_internals.postponing import flop_formulas
from ganforge.core.torch_internals.tensors import writes
from ganforge.recipe.expressions import Call, Expression
from ganforge.rehearsal.label_ranges import LabelWatch
from ganforge.rehearsal.layers import Layer, arguments_of
from ganforge.step.program import Program, Turns
from ganforge.step.scene import Scene


class Watch(TorchDispatchMode):
    """Counts operations, notes what computes most of them, and notices random numbers. Torch's own counter follows
    modules too, and fails where a loss differentiates with respect to its inputs.

    It looks after labels as well: a mode more would cost each operation of a dry run a tenth of its time.
    """

    def __init__(self, labels: LabelWatch) -> None:
        super().__init__()
        self.labels = labels
        self.formulas = flop_formulas()
        self.flops = self.operations = 0
        self.layers: dict[str, tuple[str, tuple[Any, ...], int]] = {}
        self.times: Counter[str] = Counter()
        self.drawn = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = self.labels.through(func, args, kwargs or {})
        self.operations += 1
        if formula := self.formulas.get(func.overloadpacket):
            flops = formula(*args, **(kwargs or {}), out_val=out)
            self.flops += flops
            if not kwargs and (given := arguments_of(args)) is not None:
                key = f"{func} {given}"
                self.layers.setdefault(key, (str(func), given, flops))
                self.times[key] += 1
        self.drawn = self.drawn or torch.Tag.nondeterministic_seeded in func.tags
        return out

    def all_layers(self) -> tuple[Layer, ...]:
        """The layers that ran so far."""
        return tuple(Layer(*what, times=self.times[key]) for key, what in self.layers.items())


class WatchedScene(Scene):
    """A scene that notes what its calls do besides giving a value."""

    def __init__(self, program: Program, batch: Mapping[str, Tensor], turns: Turns, watch: Watch) -> None:
        super().__init__(program, batch, turns, BEGINNING)
        self.watch = watch
        self.called: set[str] = set()
        self.drawing: set[str] = set()
        self.changing: set[str] = set()
        self.computed: dict[str, int] = {}
        """The phase that computed the held value of each signal."""
        self.from_before: dict[tuple[str, str, str], None] = {}

    def named_signal(self, name: str, signal: Expression) -> Any:
        if not self.has(name):
            self.computed[name] = self.position
        elif name in self.computed and self.turns:
            self._note_before(name, signal)
        return super().named_signal(name, signal)

    def _note_before(self, name: str, signal: Expression) -> None:
        for turn in self.turns[self.computed[name] : self.position]:
            if turn.learnt and self.program.trained[turn.phase.name] & self.program.path(signal):
                self.from_before[self.turn.phase.name, name, turn.phase.train] = None
                return

    def operate(self, call: Call, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        with self._noting(call):
            return super().operate(call, arguments, keywords)

    def run_network(self, call: Call, arguments: list[Any], keywords: dict[str, Any], count: int = 1) -> Any:
        network = self.program.cast.networks[call.name]
        before = _traces(network)
        with self._noting(call):
            value = super().run_network(call, arguments, keywords, count)
        if before != _traces(network):
            self.changing.add(call.name)
        return value

    @contextmanager
    def _noting(self, call: Call) -> Iterator[None]:
        self.watch.drawn, before = False, host_generators()
        yield
        if host_generators() != before:
            self.changing.add(call.name)
            self.watch.drawn = True
        self.called.add(call.function)
        if self.watch.drawn:
            self.drawing.add(call.function)


def _traces(network: nn.Module) -> list[tuple[int, int]]:
    """What another forward would find: buffers, changed in place or put in place of others."""
    return [(id(buffer), writes(buffer)) for buffer in network.buffers()]
