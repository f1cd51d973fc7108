"""Which of a recipe's signals is exported."""

from __future__ import annotations

from ganforge.engine.directions import directions
from ganforge.engine.dryrun import DryRun
from ganforge.errors import UsageError, suggest
from ganforge.recipe.model import Recipe
from ganforge.recipe.scope import dependencies


def choose_signal(
    recipe: Recipe, plan: DryRun, direction: str | None = None, signal: str | None = None
) -> tuple[str, str | None]:
    """A direction's translation, a named signal, or by default the recipe's first direction.

    Returns:
        the signal, and the batch field that it is made of: none where it is made of noise alone.

    Raises:
        UsageError: there is no such thing.
    """
    possible = possible_signals(recipe, plan)
    found = {each.name: each.translated for each in directions(recipe, plan.shapes) if each.translated in possible}
    if direction is not None and signal is not None:
        raise UsageError("give a direction or a signal, not both")
    if direction is not None and direction not in found:
        cure = suggest(direction, found, "give a signal instead")
        raise UsageError(f"'{direction}' is no direction of {recipe.name}; {cure}")
    if signal is not None and signal not in possible:
        such = ", ".join(possible) or "none"
        raise UsageError(
            f"'{signal}' is no signal of {recipe.name} that one picture, or noise, gives; such are: {such}"
        )
    if not possible:
        raise UsageError(f"{recipe.name} has no signal that one picture, or noise, gives")
    # Without directions, the first signal that needs one network only.
    fewest = min(possible, key=lambda name: len(dependencies(recipe, recipe.signals[name].expression)))
    chosen = signal or (found[direction] if direction else next(iter(found.values()), fewest))
    return chosen, possible[chosen]


def possible_signals(recipe: Recipe, plan: DryRun) -> dict[str, str | None]:
    """The signals that are pictures made by a network of one picture or none, and the field that this is."""
    fields = set(recipe.dataset.shapes())
    stateful = {name for name, use in recipe.ops.items() if hasattr(use.part.factory, "state_dict")}
    possible: dict[str, str | None] = {}
    for name, written in recipe.signals.items():
        needed = dependencies(recipe, written.expression)
        given = needed & fields
        made = needed & set(recipe.networks) and not needed & stateful
        if made and len(given) <= 1 and all(_is_image(plan.shapes[each]) for each in (name, *given)):
            possible[name] = next(iter(given), None)
    return possible


def _is_image(shape: object) -> bool:
    """Of a signal that was not rehearsed nobody knows the shape."""
    return shape is None or (isinstance(shape, list) and len(shape) == 4 and shape[1] in (1, 3))
