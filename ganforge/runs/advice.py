"""Overrides to go on with where training goes wrong."""

from __future__ import annotations

from collections.abc import Collection

from ganforge.recipe.model import Recipe


def scaled_rates(recipe: Recipe, players: Collection[str], factor: float) -> list[str]:
    """Overrides that scale the learning rates of players; of those that are schedules nothing is said."""
    found = []
    for name in players:
        player = recipe.players[name]
        options = player.optimizer.part.signature.options
        default = next((option.default for option in options if option.name == "lr"), None)
        rate = player.optimizer.options.get("lr", default)
        if ("optimizer", "lr") not in player.moving and isinstance(rate, int | float) and rate > 0:
            found.append(f"players.{name}.optimizer.lr={rate * factor:.3g}")
    return found


def after_bad_loss(recipe: Recipe, player: str | None = None) -> list[str]:
    """Overrides to try after a loss, or a gradient, that is not finite."""
    return scaled_rates(recipe, [player] if player else recipe.players, 0.5) or ["run.precision=fp32"]
