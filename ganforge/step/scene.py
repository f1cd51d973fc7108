"""The named values of one batch during one step, and the four rules by which they are computed.

1. A named signal lives for the step, an inline expression for the phase; identical text is one evaluation.
2. A signal carries a graph only for the next player of the step that trains a network on its path; all other players
   get its value. Networks that nobody trains through have `requires_grad` off.
3. When a player has stepped, graphs through its networks become values: what was computed before the update.
4. What a loss differentiates with respect to (`wrt`) becomes differentiable before its inputs are computed from it;
   other losses share what has the same value, and see nothing else of it.
A loss of weight 0 only watches: it is computed after the others, and what only it asks for is not held.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from ganforge.core.nested import detach, map_tensors, split_rows
from ganforge.recipe.expressions import Call, Constant, Expression, Name, Negative
from ganforge.recipe.model import LossUse
from ganforge.step.interpreter import Interpreter
from ganforge.step.leaves import shared
from ganforge.step.merging import Companion, Merging, merged
from ganforge.step.values import NONE, NOTHING, Held, Key, NotDifferentiable, Values


class Scene(Values, Interpreter):
    """The values of one batch, computed."""

    @property
    def merging(self) -> Merging:
        """The calls that run along with others of their network."""
        return self.program.once(Merging, lambda: Merging(self.program))

    # The phases of a step

    def begin(self, position: int) -> None:
        """Enter a phase."""
        self.position = position
        self._forget()
        self.audience = self.program.trained[self.turn.phase.name]
        self.program.gradients.only(self.audience)
        self.shared = self.program.once((self.turns, position), lambda: shared(self))

    @contextlib.contextmanager
    def computing(self, loss: LossUse) -> Iterator[None]:
        """Let the values of a loss's inputs be computed."""
        if loss.watches and self.unwatched is None:
            self.unwatched = dict(self.held)
        with self.seeing(loss.leaves):
            yield

    def end(self) -> None:
        """Leave the phase, whose player has stepped: its graphs are stale (rule 3)."""
        if self.unwatched is not None:
            self.held, self.unwatched = self.unwatched, None
        for name, held in self.held.items():
            if held.live & self.audience or name in self.shared.signals:
                self.held[name] = Held(detach(held.value), frozenset())
        self.shared = NOTHING
        self._forget()

    def restart(self, held: dict[str, Held], local: dict[Key, Any]) -> None:
        """Go back to where the phase had these values."""
        self._forget()
        self.held, self.unwatched = held, None
        self.local = self.of_phase = local

    def _forget(self) -> None:
        self.local = self.of_phase = {}
        self.differentiable = {}

    # Values

    def value(self, expression: Expression) -> Any:
        """The value of an expression in this phase."""
        if isinstance(expression, Constant | Negative) or (
            isinstance(expression, Name)
            and (expression.name in self.cast.networks or expression.name in self.cast.schedules)
        ):
            return super().value(expression)
        below = self.below(expression, self.leaves) if self.inline else self.own(expression, self.leaves)
        key = expression.text, below
        if key not in self.local:
            with self.seeing(below):
                value = super().value(expression)
            self.local[key] = value
        if expression.text not in self.leaves:
            return self.local[key]
        if key not in self.differentiable:
            self.differentiable[key] = self._leaf(self.local[key])
        return self.differentiable[key]

    @contextlib.contextmanager
    def seeing(self, leaves: frozenset[str]) -> Iterator[None]:
        """Let these leaves be seen by what is computed for a while."""
        outside, self.leaves = self.leaves, leaves
        try:
            yield
        finally:
            self.leaves = outside

    def resolve(self, name: str) -> Any:
        """A network, a schedule's number, a signal, or a field of the batch."""
        if name in self.cast.networks:
            return self.cast.networks[name]
        if name in self.cast.schedules:
            return self.cast.schedules[name](self.progress)
        if name not in self.program.recipe.signals:
            return self.batch[name]
        signal = self.program.recipe.signals[name].expression
        leaves = self.own(signal, self.leaves)
        # What is computed from a leaf belongs to this phase, like the leaf itself.
        return self.value(signal) if self.private(name, leaves) else self.named_signal(name, signal)

    def named_signal(self, name: str, signal: Expression) -> Any:
        """A named signal, computed once a step (rule 1) unless a graph is wanted that is stale (rule 3)."""
        if not self.has(name):
            self.held[name] = self._compute(name, signal)
        held = self.held[name].value
        return held if (self.audience | self.leaves) & self.program.path(signal) else detach(held)

    def _compute(self, name: str, signal: Expression) -> Held:
        leaves = self.shared.signals.get(name, NONE)
        audience = self.program.trained[self.turn.phase.name] if leaves else self.audience_of(signal)
        with self._room(audience, leaves):
            return Held(self.value(signal), audience & self.program.path(signal))

    @contextlib.contextmanager
    def _room(self, audience: frozenset[str], leaves: frozenset[str] = NONE) -> Iterator[None]:
        """A room of its own for a value that may be meant for another player than this phase's."""
        outside = self.audience, self.local, self.leaves
        self.audience, self.local, self.leaves = audience, {}, leaves
        try:
            with self.program.gradients.through(audience):
                yield
        finally:
            self.audience, self.local, self.leaves = outside

    def _leaf(self, value: Any) -> Any:
        """A value to differentiate with respect to, in the type that losses compute in: a cast would be another tensor.

        What already has a graph keeps it, so that gradients flow on to what it came from.
        """

        def leaf(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                kind = str(tensor.dtype).removeprefix("torch.")
                raise NotDifferentiable(f"nothing can be differentiated with respect to {kind}, only to floats")
            tensor = tensor.to(self.context.dtype)
            return tensor if tensor.requires_grad else tensor.detach().requires_grad_()

        return map_tensors(leaf, value)

    # Calls

    def call(self, call: Call) -> Any:
        """What an op or a network gives, alone or along with others."""
        arguments, keywords = self.given(call)
        if call.name not in self.cast.networks:
            return self.operate(call, arguments, keywords)
        companions = self.merging.companions(self, call)
        if companions and (results := self._together(call, arguments, companions)):
            for companion, value in zip(companions, results[1:], strict=True):
                self._keep(companion, value)
            return results[0]
        return self.run_network(call, arguments, keywords)

    def operate(self, call: Call, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """What an op gives."""
        if parameter := self.cast.contexts.get(call.function):
            keywords[parameter] = self.context
        with self.program.blamed(call):
            return self.cast.operation(call)(*arguments, **keywords)

    def run_network(self, call: Call, arguments: list[Any], keywords: dict[str, Any], count: int = 1) -> Any:
        """What a network gives; `count` calls of the recipe run as one."""
        # What a loss differentiates with respect to is differentiated twice.
        twice = bool(self.leaves & self.program.path(call))
        with self.program.blamed(call):
            network, learning = self.cast.networks[call.name], bool(self.turns)
            return self.program.calls(network, call, arguments, keywords, learning=learning, twice=twice, count=count)

    def _together(self, call: Call, arguments: list[Any], companions: Sequence[Companion]) -> list[Any] | None:
        """The values of a call and its companions from one batch; None if they make none."""
        rows = [arguments, *map(self._given_to, companions)]
        if (batch := merged(rows)) is None:
            return None
        columns, sizes = batch
        value = self.run_network(call, columns, {}, count=len(rows))
        try:
            return split_rows(value, sizes)
        except ValueError:  # it returns something that belongs to no sample
            self.merging.forget(call.function)
            self.program.calls.forwards[call.function] -= len(rows)
            return None

    def _given_to(self, companion: Companion) -> list[Any]:
        with self.seeing(NONE) if companion.signal is None else self._room(self.audience):
            return self.given(companion.call)[0]

    def _keep(self, companion: Companion, value: Any) -> None:
        if companion.signal is None:
            self.of_phase[companion.call.text, NONE] = value
        else:
            live = self.audience & self.program.path(companion.call)
            self.held[companion.signal] = Held(value, live)
