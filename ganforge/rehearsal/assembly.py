"""The cast of a recipe with all its parameters: those too that a network creates in its first forward."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from ganforge.api.context import BEGINNING
from ganforge.core.randomness import derive_seed, seed_all
from ganforge.ranks.device import Precision
from ganforge.recipe.expressions import Call
from ganforge.recipe.model import Recipe, written
from ganforge.step.batch import blank_batch
from ganforge.step.cast import Cast, build_cast, evaluating
from ganforge.step.program import Program
from ganforge.step.scene import Scene


class _Creating(Scene):
    """A scene in which what a network creates depends on no other network, loss or op that draws before it."""

    def run_network(self, call: Call, arguments: list[Any], keywords: dict[str, Any], count: int = 1) -> Any:
        seed_all(derive_seed(self.program.recipe.run.seed, "lazy", call.name))
        return super().run_network(call, arguments, keywords, count)


def assemble(recipe: Recipe, precision: Precision) -> Cast:
    """Build the cast of a recipe where it computes; all its parameters are there.

    Raises:
        RecipeError: a constructor refused its options.
    """
    cast = build_cast(recipe, precision.place)
    if any(map(is_lazy, cast.networks.parameters())):
        create_lazy_parameters(recipe, cast, precision)
    return cast


def create_lazy_parameters(recipe: Recipe, cast: Cast, precision: Precision) -> None:
    """Run every loss's inputs once on an empty batch, with copies of the ops, so that nothing else changes."""
    rehearsal = dataclasses.replace(cast, ops=cast.copied_ops(cast.rngs))
    batch = blank_batch(recipe, precision)
    with evaluating(cast.networks), torch.no_grad():
        scene = _Creating(Program(recipe, rehearsal), batch, (), BEGINNING)
        for phase in recipe.phases:
            for loss in phase.losses:
                for item in written(loss.inputs):
                    scene.value(item.expression)
    precision.place(cast.networks)
