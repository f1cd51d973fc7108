"""Which of a recipe's signals a translation computes."""

from __future__ import annotations

from dataclasses import dataclass

from ganforge.engine.directions import directions
from ganforge.engine.dryrun import DryRun
from ganforge.errors import UsageError, suggest
from ganforge.recipe.expressions import Call
from ganforge.recipe.model import Recipe
from ganforge.recipe.scope import dependencies


@dataclass(frozen=True)
class Choice:
    """A signal that one picture gives."""

    signal: str
    field: str
    """The batch field that the picture takes the place of."""
    recovered: str | None
    """The signal that translates back."""
    draws: bool
    """Whether random numbers are in it: noise, or a style."""


def choose(recipe: Recipe, plan: DryRun, direction: str | None = None, signal: str | None = None) -> Choice:
    """A direction's translation, a named signal, or by default the recipe's first direction.

    Raises:
        UsageError: there is no such thing.
    """
    possible = _possible(recipe, plan)
    found = {each.name: each for each in directions(recipe, plan.shapes) if each.translated in possible}
    if direction is not None and signal is not None:
        raise UsageError("give a direction or a signal, not both")
    if direction is not None and direction not in found:
        cure = suggest(direction, found, "give a signal instead")
        raise UsageError(f"'{direction}' is no direction of {recipe.name}; {cure}")
    if signal is not None and signal not in possible:
        such = ", ".join(possible)
        raise UsageError(f"'{signal}' is no signal of {recipe.name} that one picture gives; such are: {such}")
    if not possible:
        raise UsageError(f"{recipe.name} has no signal that one picture gives")
    chosen = found[direction] if direction else next(iter(found.values()), None) if signal is None else None
    # Without directions, the first signal that needs one network only: fake_b before rec_a.
    fewest = min(possible, key=lambda name: len(dependencies(recipe, recipe.signals[name].expression)))
    name = chosen.translated if chosen else signal or fewest
    back = next((each.recovered for each in found.values() if each.translated == name), None)
    return Choice(name, possible[name], back if back in possible else None, _draws(recipe, plan, name))


def _possible(recipe: Recipe, plan: DryRun) -> dict[str, str]:
    """The signals that are pictures, need a network and one batch field, and that field."""
    fields = set(recipe.dataset.shapes())
    stateful = {name for name, use in recipe.ops.items() if hasattr(use.part.factory, "state_dict")}
    possible: dict[str, str] = {}
    for name, written in recipe.signals.items():
        needed = dependencies(recipe, written.expression)
        if not _is_image(plan.shapes[name]):
            continue
        if len(needed & fields) == 1 and needed & set(recipe.networks) and not needed & stateful:
            possible[name] = next(iter(needed & fields))
    return possible


def _draws(recipe: Recipe, plan: DryRun, signal: str) -> bool:
    path = {signal, *dependencies(recipe, recipe.signals[signal].expression)} & recipe.signals.keys()
    pieces = (piece for name in path for piece in recipe.signals[name].expression.walk())
    return any(isinstance(piece, Call) and piece.function not in plan.quiet for piece in pieces)


def _is_image(shape: object) -> bool:
    """Whether a signal of this shape can be written as a picture; of one that was not rehearsed nobody knows."""
    return shape is None or (isinstance(shape, list) and len(shape) == 4 and shape[1] in (1, 3))
