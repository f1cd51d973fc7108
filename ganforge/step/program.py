"""The program of a training: what does not change from step to step."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ganforge.failures.blame import blame
from ganforge.plugins.registry import Part
from ganforge.recipe.expressions import Call, Expression
from ganforge.recipe.model import LossUse, PhaseUse, Recipe, place_of
from ganforge.recipe.name_checks import dependencies
from ganforge.step.cast import Cast
from ganforge.step.network_calls import Calls

T = TypeVar("T")


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
        """The losses that have a weight; without any, the player takes no step."""
        return tuple(loss for loss in self.losses if not loss.watches)

    @functools.cached_property
    def leaves(self) -> frozenset[str]:
        """The texts of what the losses differentiate with respect to."""
        return frozenset[str]().union(*(loss.leaves for loss in self.losses))


Turns = tuple[Turn, ...]
"""What a step does. A trainer keeps one for each kind of step: what is known of it can be kept by it."""


class Program:
    """What does not change from step to step: the recipe, its cast, and who depends on whom."""

    def __init__(self, recipe: Recipe, cast: Cast, calls: Calls | None = None) -> None:
        self.recipe, self.cast = recipe, cast
        self.calls = calls or Calls()
        self.trained = {phase.name: frozenset(recipe.players[phase.train].networks) for phase in recipe.phases}
        self._paths: dict[str, frozenset[str]] = {}
        self._worked_out: dict[Hashable, Any] = {}
        self.gradients = Gradients(cast.networks)

    def path(self, expression: Expression) -> frozenset[str]:
        """The names and texts of everything that an expression depends on."""
        if expression.text not in self._paths:
            signals = self.recipe.signals
            names = dependencies(self.recipe, expression)
            roots = [expression, *(signals[name].expression for name in names if name in signals)]
            self._paths[expression.text] = frozenset(names | {piece.text for root in roots for piece in root.walk()})
        return self._paths[expression.text]

    def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """What follows from the program alone, worked out when it is first asked for."""
        if key not in self._worked_out:
            self._worked_out[key] = work()
        return self._worked_out[key]

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
