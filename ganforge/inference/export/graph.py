"""A signal as a module of its own: tensors in, a tensor out, and nothing of the engine in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.api.context import BEGINNING, Context
from ganforge.errors import UsageError
from ganforge.inference.trained_run import Trained
from ganforge.recipe.expressions import Call, Name
from ganforge.recipe.name_checks import dependencies
from ganforge.step.interpreter import Interpreter
from ganforge.step.scene import Scene


class Eager(Scene):
    """The engine's own way to a signal's value; it notes what ops draw at random on the way."""

    def __init__(self, trained: Trained, batch: Mapping[str, Tensor]) -> None:
        super().__init__(trained.program(), batch, (), BEGINNING)
        self.quiet = trained.plan.quiet
        self.calls: list[Call] = []
        self.drawn: list[Tensor] = []

    def operate(self, call: Call, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        value = super().operate(call, arguments, keywords)
        if call.function not in self.quiet:
            self.calls.append(call)
            self.drawn.append(value)
        return value

    def compute(self, signal: str) -> Tensor:
        """The signal's value."""
        with torch.no_grad():
            return self.value(Name.of(signal))


class Graph(nn.Module):
    """A signal of a trained recipe, with those networks only that it needs.

    Args:
        fields: the batch fields that it is made of, a picture first; none where it is made of noise.
        drawing: the calls of ops that draw at random for it, in the order of drawing: what they draw are inputs too.
            The same numbers should give the same picture, wherever the file is used.

    Raises:
        UsageError: what an op draws depends on a picture.
    """

    def __init__(self, trained: Trained, signal: str, fields: Sequence[str], drawing: Sequence[Call]) -> None:
        super().__init__()
        self.recipe, self.cast, self.quiet = trained.recipe, trained.cast, trained.plan.quiet
        self.signal, self.fields = signal, tuple(fields)
        needed = dependencies(self.recipe, self.recipe.signals[signal].expression)
        self.networks = nn.ModuleDict({name: net for name, net in self.cast.networks.items() if name in needed})
        self.requires_grad_(False).eval()
        self.names = [*fields]
        """The names of the inputs, in their order."""
        for call in drawing:
            self.names.append(self._name(call))

    @property
    def text(self) -> str:
        """The signal's expression."""
        return self.recipe.signals[self.signal].text

    @property
    def field(self) -> str | None:
        """The batch field that is its picture, if any."""
        return self.fields[0] if self.fields else None

    def is_sized(self, field: str) -> bool:
        """Whether a field has the height and width of the picture: another picture, or a mask."""
        return len(self.recipe.dataset.shapes()[field]) == 3

    def blank(self, count: int, size: tuple[int, int], drawn: Sequence[Tensor]) -> list[Tensor]:
        """Zeros for all inputs: pictures of a size, and what is drawn as these examples."""
        shapes, dtypes = self.recipe.dataset.shapes(), self.recipe.dataset.dtypes()
        given = []
        for field in self.fields:
            shape = (shapes[field][0], *size) if self.is_sized(field) else shapes[field]
            given.append(torch.zeros(count, *shape, dtype=dtypes.get(field, torch.float32)))
        return [*given, *(torch.zeros(count, *value.shape[1:], dtype=value.dtype) for value in drawn)]

    def _name(self, call: Call) -> str:
        """`style` where a signal of this name is what is drawn, else `noise` after the op."""
        if dependencies(self.recipe, call) & set(self.recipe.dataset.shapes()):
            raise UsageError(
                f"'{self.signal}' cannot be exported: {call.text} draws at random from what it is given",
                "export a signal without it (--signal)",
            )
        known = dependencies(self.recipe, self.recipe.signals[self.signal].expression)
        signals = (n for n, written in self.recipe.signals.items() if n in known and written.text == call.text)
        name = next((n for n in signals if n not in self.names), call.name)
        return name if name not in self.names else f"{name}_{len(self.names)}"

    def forward(self, *inputs: Tensor) -> Tensor:
        """The signal's value; pictures are floats `[N, C, H, W]` in `[-1, 1]`, what is drawn has N rows too."""
        fields = dict(zip(self.fields, inputs, strict=False))
        values = list(inputs[len(fields) :])
        # A tensor's length would be a number, and fix the size of a batch.
        context = Context(inputs[0].shape[0], inputs[0].device, torch.float32)
        return _Evaluation(self, fields, values, context).signal(self.signal)


class _Evaluation(Interpreter):
    """The values of one forward, by the engine's first rule: equal text in a signal is one evaluation."""

    def __init__(self, graph: Graph, fields: Mapping[str, Tensor], drawn: list[Tensor], context: Context) -> None:
        self.graph, self.fields, self.drawn, self.context = graph, fields, drawn, context
        self.signals: dict[str, Any] = {}
        self.local: dict[str, Any] = {}

    def signal(self, name: str) -> Any:
        """A named signal, in whose own room its calls are kept."""
        if name not in self.signals:
            outside, self.local = self.local, {}
            self.signals[name] = self.value(self.graph.recipe.signals[name].expression)
            self.local = outside
        return self.signals[name]

    def resolve(self, name: str) -> Any:
        """A signal, a network, a schedule's number, or a field."""
        if name in self.graph.recipe.signals:
            return self.signal(name)
        if name in self.graph.networks:
            return self.graph.networks[name]
        if name in self.graph.cast.schedules:
            return self.graph.cast.schedules[name](BEGINNING)
        return self.fields[name]

    def call(self, call: Call) -> Any:
        """What a call gives, made once in each signal."""
        if call.text not in self.local:
            self.local[call.text] = self._call(call)
        return self.local[call.text]

    def _call(self, call: Call) -> Any:
        arguments, keywords = self.given(call)
        if call.name in self.graph.networks:
            network = self.graph.networks[call.name]
            return (getattr(network, call.method) if call.method else network)(*arguments, **keywords)
        if call.function not in self.graph.quiet:
            return self.drawn.pop(0)
        if parameter := self.graph.cast.contexts.get(call.function):
            keywords[parameter] = self.context
        return self.graph.cast.operation(call)(*arguments, **keywords)
