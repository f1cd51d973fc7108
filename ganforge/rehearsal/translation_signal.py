"""Which of a recipe's signals a translation computes."""

from __future__ import annotations

from dataclasses import dataclass

from ganforge.recipe.expressions import Call
from ganforge.recipe.model import Recipe
from ganforge.recipe.name_checks import dependencies
from ganforge.rehearsal.directions import directions
from ganforge.rehearsal.dry_run import DryRun
from ganforge.rehearsal.signals import choose_signal, possible_signals


@dataclass(frozen=True)
class Choice:
    """A signal that one picture gives."""

    signal: str
    field: str
    """The batch field that the picture takes the place of."""
    recovered: str | None
    """The signal that translates back."""
    draws: bool
    """Whether the signal draws random numbers: noise, or a style."""


def choose(recipe: Recipe, plan: DryRun, direction: str | None = None, signal: str | None = None) -> Choice:
    """A direction's translation, a named signal, or by default the recipe's first direction.

    Raises:
        UsageError: there is no such thing.
    """
    name, field = choose_signal(recipe, plan, direction, signal)
    back = next((each.recovered for each in directions(recipe, plan.shapes) if each.translated == name), None)
    back = back if back in possible_signals(recipe, plan) else None
    return Choice(name, field or "", back, _draws(recipe, plan, name))


def _draws(recipe: Recipe, plan: DryRun, signal: str) -> bool:
    path = {signal, *dependencies(recipe, recipe.signals[signal].expression)} & recipe.signals.keys()
    pieces = (piece for name in path for piece in recipe.signals[name].expression.walk())
    return any(isinstance(piece, Call) and piece.function not in plan.quiet for piece in pieces)
