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
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ganforge.blame import blame
from ganforge.engine.cast import Cast
from ganforge.engine.leaves import NONE, NOTHING, Shared, shared
from ganforge.engine.levers.calls import Calls
from ganforge.engine.levers.merging import Companion, Merging, merged
from ganforge.engine.nested import detach, map_tensors, split
from ganforge.parts import Context, Progress
from ganforge.recipe.expressions import Attribute, Call, Constant, Expression, Name, Negative
from ganforge.recipe.model import LossUse, PhaseUse, Recipe, place_of
from ganforge.recipe.scope import dependencies
from ganforge.registry import Part


@dataclass(frozen=True, eq=False)
class Turn:
    """A phase of a step, and those of its losses that are due: those that only watch come last."""

    phase: PhaseUse
    losses: tuple[LossUse, ...]

    @classmethod
    def at(cls, phase: PhaseUse, step: int) -> Turn:
        """What is due at a step; the `every` of a loss counts the times that its phase runs."""
        due = (loss for loss in phase.losses if step // phase.every % loss.every == 0)
        return cls(phase, tuple(sorted(due, key=lambda loss: loss.watches)))

    @functools.cached_property
    def learnt(self) -> tuple[LossUse, ...]:
        """Those that have a weight; without any, the player takes no step."""
        return tuple(loss for loss in self.losses if not loss.watches)

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
        self._shared: dict[tuple[Plan, int], Shared] = {}
        self.gradients = Gradients(cast.networks)

    def path(self, expression: Expression) -> frozenset[str]:
        """The names and texts of everything that an expression depends on."""
        if expression.text not in self._paths:
            signals = self.recipe.signals
            names = dependencies(self.recipe, expression)
            roots = [expression, *(signals[name].expression for name in names if name in signals)]
            self._paths[expression.text] = frozenset(names | {piece.text for root in roots for piece in root.walk()})
        return self._paths[expression.text]

    def shared(self, scene: Scene) -> Shared:
        """What the losses of a phase share of what is computed from leaves."""
        place = scene.plan, scene.position
        if place not in self._shared:
            self._shared[place] = shared(scene)
        return self._shared[place]

    def blamed(self, call: Call) -> blame:
        """What is told of an error that passes a call."""
        used = self.cast.uses.get(call.name) or Named(self.recipe.functions.get(call.function))
        return blame(f"'{call.text}' cannot be computed", used, lambda: place_of(self.recipe, call))


@dataclass(frozen=True)
class Named:
    """An op that expressions call without the recipe listing it."""

    part: Part | None


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


Key = tuple[str, frozenset[str]]
"""An expression's text, and the leaves that its value is computed from."""


class NotDifferentiable(TypeError):
    """A loss differentiates with respect to something that is no float."""


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
        self.unwatched: dict[str, Held] | None = None
        """What is held without the losses that only watch, once the first of them is computed."""
        self.local: dict[Key, Any] = {}
        self.of_phase = self.local
        """The inline values of the phase; in a signal's own room, `local` is another."""
        self.differentiable: dict[Key, Any] = {}
        """The leaves of the phase."""
        self.leaves = NONE
        """The texts of the leaves that are seen by what is being computed."""
        self.shared = NOTHING
        self.audience: frozenset[str] = frozenset()
        """The networks whose training the values are computed for."""
        self.position = 0

    # The phases of a step

    def begin(self, position: int) -> None:
        """Enter a phase."""
        self.position = position
        self._forget()
        self.audience = self.program.trained[self.turn.phase.name]
        self.program.gradients.only(self.audience)
        self.shared = self.program.shared(self)

    @property
    def turn(self) -> Turn:
        """The phase that it is in, and the losses that are due."""
        return self.plan[self.position]

    @property
    def inline(self) -> bool:
        """Whether what is computed belongs to the phase, and not to a signal in a room of its own."""
        return self.local is self.of_phase

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
        below = self.below(expression, self.leaves) if self.inline else self._own(expression, self.leaves)
        key = expression.text, below
        if key not in self.local:
            with self.seeing(below):
                value = self._evaluate(expression)
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

    def below(self, expression: Expression, leaves: frozenset[str]) -> frozenset[str]:
        """The leaves that an inline expression is computed from, for a loss that sees these."""
        own = self._own(expression, leaves)
        common = self.shared.inline.get(expression.text, NONE)
        return common if own <= common else own

    def _own(self, expression: Expression, leaves: frozenset[str]) -> frozenset[str]:
        return (leaves & self.program.path(expression)) - {expression.text} if leaves else NONE

    def private(self, name: str, leaves: frozenset[str]) -> bool:
        """Whether a signal is another value where these leaves are seen than what is, or will be, held."""
        return not leaves <= self.shared.signals.get(name, NONE)

    def _evaluate(self, expression: Expression) -> Any:
        match expression:
            case Name(name=name) if name in self.program.recipe.signals:
                signal = self.program.recipe.signals[name].expression
                leaves = self._own(signal, self.leaves)
                # What is computed from a leaf belongs to this phase, like the leaf itself.
                return self.value(signal) if self.private(name, leaves) else self._named(name, signal)
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
            self.held[name] = self._compute(name, signal)
        held = self.held[name].value
        return held if (self.audience | self.leaves) & self.program.path(signal) else detach(held)

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
        with self.program.blamed(call):
            return self.program.cast.operation(call)(*arguments, **keywords)

    def _forward(self, call: Call, arguments: list[Any], keywords: dict[str, Any], count: int = 1) -> Any:
        # What a loss differentiates with respect to is differentiated twice.
        twice = bool(self.leaves & self.program.path(call))
        with self.program.blamed(call):
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
        with self.seeing(NONE) if companion.signal is None else self._room(self.audience):
            return self._given(companion.call)[0]

    def _keep(self, companion: Companion, value: Any) -> None:
        if companion.signal is None:
            self.of_phase[companion.call.text, NONE] = value
        else:
            live = self.audience & self.program.path(companion.call)
            self.held[companion.signal] = Held(value, live)


def _context(batch: Mapping[str, Tensor]) -> Context:
    tensor = next(iter(batch.values()))
    floating = next((t for t in batch.values() if t.is_floating_point()), torch.empty(0))
    return Context(len(tensor), tensor.device, floating.dtype)
