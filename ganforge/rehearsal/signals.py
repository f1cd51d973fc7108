"""Which signal of a trained recipe is wanted: a direction's translation, or one by its name."""

from __future__ import annotations

from dataclasses import dataclass

from ganforge.errors import UsageError, suggest
from ganforge.recipe.expressions import Call
from ganforge.recipe.model import Recipe
from ganforge.recipe.name_checks import dependencies
from ganforge.rehearsal.directions import directions, is_image, picture_channels, picture_fields
from ganforge.rehearsal.dry_run import DryRun


def choose_signal(
    recipe: Recipe, plan: DryRun, direction: str | None = None, signal: str | None = None, noise: bool = False
) -> tuple[str, tuple[str, ...]]:
    """A direction's translation, a named signal, or by default the recipe's first direction.

    Args:
        noise: whether signals that are made of noise alone will do.

    Returns:
        the signal, and the batch fields that it is made of, a picture first: none where it is made of noise alone.

    Raises:
        UsageError: there is no such thing.
    """
    possible = possible_signals(recipe, plan, noise)
    found = {each.name: each.translated for each in directions(recipe, plan.shapes) if each.translated in possible}
    gives = "one picture, or noise, gives" if noise else "one picture gives"
    if direction is not None and signal is not None:
        raise UsageError("give a direction or a signal, not both")
    if direction is not None and direction not in found:
        cure = suggest(direction, found, "give a signal instead")
        raise UsageError(f"'{direction}' is no direction of {recipe.name}; {cure}")
    if signal is not None and signal not in possible:
        such = ", ".join(possible) or "none"
        raise UsageError(f"'{signal}' is no signal of {recipe.name} that {gives}; such are: {such}")
    if not possible:
        raise UsageError(f"{recipe.name} has no signal that {gives}")
    # Without directions, the first signal that needs one picture and one network only: fake_b before rec_a.
    fewest = min(
        possible, key=lambda name: (len(possible[name]), len(dependencies(recipe, recipe.signals[name].expression)))
    )
    chosen = signal or (found[direction] if direction else next(iter(found.values()), fewest))
    return chosen, possible[chosen]


def possible_signals(recipe: Recipe, plan: DryRun, noise: bool = False) -> dict[str, tuple[str, ...]]:
    """The signals that are pictures made by a network of a picture, or of none, and the fields that they are made of:
    the picture, and what else they take."""
    fields, channels = set(recipe.dataset.shapes()), picture_channels(recipe)
    stateful = {name for name, use in recipe.ops.items() if hasattr(use.part.factory, "state_dict")}
    possible: dict[str, tuple[str, ...]] = {}
    pictures = picture_fields(recipe)
    for name, written in recipe.signals.items():
        needed = dependencies(recipe, written.expression)
        given = needed & fields
        made = needed & set(recipe.networks) and not needed & stateful
        first = next((field for field in pictures if field in given), None)
        shape = plan.shapes[name]
        if made and (first or (noise and not given)) and (shape is None or is_image(shape, channels)):
            others = [field for field in recipe.dataset.shapes() if field in given and field != first]
            possible[name] = (first, *others) if first else ()
    return possible


@dataclass(frozen=True)
class Choice:
    """A signal that a picture gives, alone or with other fields."""

    signal: str
    field: str
    """The batch field that the picture takes the place of."""
    others: tuple[str, ...]
    """The other fields that the signal takes."""
    recovered: str | None
    """The signal that translates back."""
    draws: bool
    """Whether the signal draws random numbers: noise, or a style."""


def choose(recipe: Recipe, plan: DryRun, direction: str | None = None, signal: str | None = None) -> Choice:
    """A direction's translation, a named signal, or by default the recipe's first direction.

    Raises:
        UsageError: there is no such thing.
    """
    name, (field, *others) = choose_signal(recipe, plan, direction, signal)
    back = next((each.recovered for each in directions(recipe, plan.shapes) if each.translated == name), None)
    back = back if possible_signals(recipe, plan).get(back or "") == (field,) else None
    return Choice(name, field, tuple(others), back, _draws(recipe, plan, name))


def _draws(recipe: Recipe, plan: DryRun, signal: str) -> bool:
    path = {signal, *dependencies(recipe, recipe.signals[signal].expression)} & recipe.signals.keys()
    pieces = (piece for name in path for piece in recipe.signals[name].expression.walk())
    return any(isinstance(piece, Call) and piece.function not in plan.quiet for piece in pieces)
