"""The named values of one batch as a phase finds them, and what can be said of those that are still to be computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganforge.api.context import Context, Progress
from ganforge.recipe.expressions import Expression
from ganforge.step.cast import Cast
from ganforge.step.program import Program, Turn, Turns

Key = tuple[str, frozenset[str]]
"""An expression's text, and the leaves that its value is computed from."""


class NotDifferentiable(TypeError):
    """A loss differentiates with respect to something that is no float."""


@dataclass
class Held:
    """A named signal's value, and the networks through which its graph is alive."""

    value: Any
    live: frozenset[str]


@dataclass(frozen=True)
class Shared:
    """What all losses of a phase take from leaves, since it is the same value: by its text or name, from which."""

    inline: dict[str, frozenset[str]] = field(default_factory=dict)
    signals: dict[str, frozenset[str]] = field(default_factory=dict)


NONE: frozenset[str] = frozenset()
NOTHING = Shared()


class Values:
    """The values that a batch has, and that are held of its signals, phase by phase."""

    def __init__(
        self,
        program: Program,
        batch: Mapping[str, Tensor],
        turns: Turns,
        progress: Progress,
        cast: Cast | None = None,
    ) -> None:
        self.program, self.batch, self.turns, self.progress = program, batch, turns, progress
        self.cast = cast or program.cast
        """The cast at work: the program's, or a lane's, or that of a validation."""
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

    @property
    def turn(self) -> Turn:
        """The turn that the step is in: its phase, and the losses that are due."""
        return self.turns[self.position]

    @property
    def inline(self) -> bool:
        """Whether what is computed belongs to the phase, and not to a signal in a room of its own."""
        return self.local is self.of_phase

    def below(self, expression: Expression, leaves: frozenset[str]) -> frozenset[str]:
        """The leaves that an inline expression is computed from, for a loss that sees these."""
        own = self.own(expression, leaves)
        common = self.shared.inline.get(expression.text, NONE)
        return common if own <= common else own

    def own(self, expression: Expression, leaves: frozenset[str]) -> frozenset[str]:
        """Those of these leaves that an expression is computed from."""
        return (leaves & self.program.path(expression)) - {expression.text} if leaves else NONE

    def private(self, name: str, leaves: frozenset[str]) -> bool:
        """Whether a signal is another value where these leaves are seen than what is, or will be, held."""
        return not leaves <= self.shared.signals.get(name, NONE)

    def has(self, name: str, of_phase: bool = False) -> bool:
        """Whether a named signal has been computed, with the graph that is wanted here, or in the phase itself."""
        held = self.held.get(name)
        audience = self.program.trained[self.turn.phase.name] if of_phase else self.audience
        wanted = audience & self.program.path(self.program.recipe.signals[name].expression)
        return held is not None and (not wanted or bool(held.live & wanted))

    def audience_of(self, signal: Expression) -> frozenset[str]:
        """The networks of the next player that trains one on a signal's path (rule 2)."""
        path = self.program.path(signal)
        players = (self.program.trained[turn.phase.name] for turn in self.turns[self.position :])
        return next((networks for networks in players if networks & path), frozenset())


def _context(batch: Mapping[str, Tensor]) -> Context:
    tensor = next(iter(batch.values()))
    floating = next((t for t in batch.values() if t.is_floating_point()), torch.empty(0))
    return Context(len(tensor), tensor.device, floating.dtype)
