"""The named values of one batch during one step, and the four rules by which they are computed.

1. A named signal lives for the step, an inline expression for the phase; identical text is one evaluation.
2. A signal carries a graph only for the next player of the step that trains a network on its path; all other players
   get its value. Networks that nobody trains through have `requires_grad` off.
3. When a player has stepped, graphs through its networks become values: what was computed before the update.
4. What a loss differentiates with respect to (`wrt`) becomes differentiable before anything is computed from it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ganforge.engine.cast import Cast
from ganforge.engine.levers.calls import Calls
from ganforge.engine.levers.merging import Companion, Merging, merged
from ganforge.engine.nested import detach, map_tensors, split
from ganforge.parts import Context, Progress
from ganforge.recipe.expressions import Attribute, Call, Constant, Expression, Name, Negative
from ganforge.recipe.model import LossUse, PhaseUse, Recipe
from ganforge.recipe.scope import dependencies


@dataclass(frozen=True, eq=False)
class Turn:
    """A phase of a step, and those of its losses that are due."""

    phase: PhaseUse
    losses: tuple[LossUse, ...]

    @functools.cached_property
    def leaves(self) -> frozenset[str]:
        """The texts of what the losses differentiate with respect to."""
        return frozenset[str]().union(*(loss.leaves for loss in self.losses))


Plan = tuple[Turn, ...]
"""What a step does. A trainer keeps one for each kind of step: what is known of it can be kept by it."""


class Program:
    """What does not change from step to step: the recipe, its cast, and who depends on whom."""

    def __init__(self, recipe: Recipe, cast: Cast, calls: Calls | None = None) -> None:
        self.recipe, self.cast = recipe, cast
        self.calls = calls or Calls(cast)
        self.merging = Merging(self, self.calls.levers)
        self.trained = {phase.name: frozenset(recipe.players[phase.train].networks) for phase in recipe.phases}
        self._paths: dict[str, frozenset[str]] = {}
        self.gradients = Gradients(cast.networks)

    def path(self, expression: Expression) -> frozenset[str]:
        """The names and texts of everything that an expression depends on."""
        if expression.text not in self._paths:
            signals = self.recipe.signals
            names = dependencies(self.recipe, expression)
            roots = [expression, *(signals[name].expression for name in names if name in signals)]
            self._paths[expression.text] = frozenset(names | {piece.text for root in roots for piece in root.walk()})
        return self._paths[expression.text]


class Gradients:
    """Which networks have `requires_grad` on. Parameters that their network froze itself stay frozen."""

    def __init__(self, networks: nn.ModuleDict) -> None:
        # Those that a first forward has yet to create have no gradient to switch.
        self.parameters = {
            name: [p for p in net.parameters() if p.requires_grad and not is_lazy(p)] for name, net in networks.items()
        }
        self.on = frozenset(self.parameters)

    def only(self, networks: frozenset[str]) -> None:
        """Let gradients reach these networks and no others; touches only what changes."""
        for name in self.on ^ networks:
            for parameter in self.parameters[name]:
                parameter.requires_grad_(name in networks)
        self.on = networks

    @contextlib.contextmanager
    def through(self, networks: frozenset[str]) -> Iterator[None]:
        """Record graphs for these networks for a while; for none, no graph at all."""
        if not networks:
            with torch.no_grad():
                yield
            return
        before = self.on
        self.only(networks)
        try:
            with torch.enable_grad():
                yield
        finally:
            self.only(before)

    def restore(self) -> None:
        """Leave every network as it was built."""
        self.only(frozenset(self.parameters))


@dataclass
class Held:
    """A named signal's value, and the networks through which its graph is alive."""

    value: Any
    live: frozenset[str]


class Scene:
    """The values of one batch."""

    def __init__(
        self,
        program: Program,
        batch: Mapping[str, Tensor],
        plan: Plan,
        progress: Progress,
    ) -> None:
        self.program, self.batch, self.plan, self.progress = program, batch, plan, progress
        self.context = _context(batch)
        self.held: dict[str, Held] = {}
        self.local: dict[str, Any] = {}
        self.of_phase = self.local
        """The inline values of the phase; in a signal's own room, `local` is another."""
        self.leaves: frozenset[str] = frozenset()
        self.audience: frozenset[str] = frozenset()
        """The networks whose training the values are computed for."""
        self.position = 0

    # The phases of a step

    def begin(self, position: int) -> None:
        """Enter a phase."""
        self.position, self.leaves = position, self.plan[position].leaves
        self.local = self.of_phase = {}
        self.audience = self.program.trained[self.plan[position].phase.name]
        self.program.gradients.only(self.audience)

    @property
    def turn(self) -> Turn:
        """The phase that it is in, and the losses that are due."""
        return self.plan[self.position]

    @property
    def inline(self) -> bool:
        """Whether what is computed belongs to the phase, and not to a signal in a room of its own."""
        return self.local is self.of_phase

    def end(self) -> None:
        """Leave the phase, whose player has stepped: its graphs are stale (rule 3)."""
        for name, held in self.held.items():
            if held.live & self.audience:
                self.held[name] = Held(detach(held.value), frozenset())
        self.local = self.of_phase = {}

    # Values

    def value(self, expression: Expression) -> Any:
        """The value of an expression in this phase."""
        cast = self.program.cast
        match expression:
            case Constant(value=value):
                return value
            case Negative(operand=operand):
                return -self.value(operand)
            case Name(name=name) if name in cast.networks:
                return cast.networks[name]
            case Name(name=name) if name in cast.schedules:
                return cast.schedules[name](self.progress)
        key = expression.text
        if key not in self.local:
            value = self._evaluate(expression)
            self.local[key] = self._leaf(value) if key in self.leaves else value
        return self.local[key]

    def _evaluate(self, expression: Expression) -> Any:
        match expression:
            case Name(name=name) if name in self.program.recipe.signals:
                signal = self.program.recipe.signals[name].expression
                # What is computed from a leaf belongs to this phase, like the leaf itself (rule 4).
                return self.value(signal) if self.leaves & self.program.path(signal) else self._named(name, signal)
            case Name(name=name):
                return self.batch[name]
            case Attribute(value=inner, attribute=attribute):
                return getattr(self.value(inner), attribute)
            case Call():
                return self._call(expression)
        raise TypeError(f"cannot evaluate {expression!r}")

    def _named(self, name: str, signal: Expression) -> Any:
        """A named signal, computed once a step (rule 1) unless a graph is wanted that is stale (rule 3)."""
        if not self.has(name):
            self.held[name] = self._compute(signal)
        held = self.held[name].value
        return held if self.audience & self.program.path(signal) else detach(held)

    def has(self, name: str, of_phase: bool = False) -> bool:
        """Whether a named signal has been computed, with the graph that is wanted here, or in the phase itself."""
        held = self.held.get(name)
        audience = self.program.trained[self.turn.phase.name] if of_phase else self.audience
        wanted = audience & self.program.path(self.program.recipe.signals[name].expression)
        return held is not None and (not wanted or bool(held.live & wanted))

    def audience_of(self, signal: Expression) -> frozenset[str]:
        """The networks of the next player that trains one on a signal's path (rule 2)."""
        path = self.program.path(signal)
        players = (self.program.trained[turn.phase.name] for turn in self.plan[self.position :])
        return next((networks for networks in players if networks & path), frozenset())

    def _compute(self, signal: Expression) -> Held:
        audience = self.audience_of(signal)
        with self._room(audience):
            return Held(self.value(signal), audience & self.program.path(signal))

    @contextlib.contextmanager
    def _room(self, audience: frozenset[str]) -> Iterator[None]:
        """A room of its own for a value that may be meant for another player than this phase's."""
        outside = self.audience, self.local, self.leaves
        self.audience, self.local, self.leaves = audience, {}, frozenset()
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
            tensor = tensor.to(self.context.dtype)
            return tensor if tensor.requires_grad else tensor.detach().requires_grad_()

        return map_tensors(leaf, value)

    # Calls

    def _call(self, call: Call) -> Any:
        arguments, keywords = self._given(call)
        if call.name not in self.program.cast.networks:
            return self._operate(call, arguments, keywords)
        companions = self.program.merging.companions(self, call)
        if companions and (results := self._together(call, arguments, companions)):
            for companion, value in zip(companions, results[1:], strict=True):
                self._keep(companion, value)
            return results[0]
        return self._forward(call, arguments, keywords)

    def _given(self, call: Call) -> tuple[list[Any], dict[str, Any]]:
        return [self.value(argument) for argument in call.arguments], {n: self.value(v) for n, v in call.keywords}

    def _operate(self, call: Call, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if parameter := self.program.cast.contexts.get(call.function):
            keywords[parameter] = self.context
        return self.program.cast.operation(call)(*arguments, **keywords)

    def _forward(self, call: Call, arguments: list[Any], keywords: dict[str, Any], count: int = 1) -> Any:
        # What a loss differentiates with respect to is differentiated twice.
        twice = bool(self.plan) and bool(self.turn.leaves & self.program.path(call))
        return self.program.calls(call, arguments, keywords, learning=bool(self.plan), twice=twice, count=count)

    def _together(self, call: Call, arguments: list[Any], companions: Sequence[Companion]) -> list[Any] | None:
        """The values of a call and its companions from one batch; None if they make none."""
        rows = [arguments, *map(self._given_to, companions)]
        if (batch := merged(rows)) is None:
            return None
        columns, sizes = batch
        value = self._forward(call, columns, {}, count=len(rows))
        try:
            return split(value, sizes)
        except ValueError:  # it returns something that belongs to no sample
            self.program.merging.forget(call.function)
            self.program.calls.forwards[call.function] -= len(rows)
            return None

    def _given_to(self, companion: Companion) -> list[Any]:
        if companion.signal is None:
            return self._given(companion.call)[0]
        with self._room(self.audience):
            return self._given(companion.call)[0]

    def _keep(self, companion: Companion, value: Any) -> None:
        if companion.signal is None:
            self.of_phase[companion.call.text] = value
        else:
            live = self.audience & self.program.path(companion.call)
            self.held[companion.signal] = Held(value, live)


def _context(batch: Mapping[str, Tensor]) -> Context:
    tensor = next(iter(batch.values()))
    floating = next((t for t in batch.values() if t.is_floating_point()), torch.empty(0))
    return Context(len(tensor), tensor.device, floating.dtype)
