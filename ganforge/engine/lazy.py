"""Parameters that a network creates in its first forward exist before its optimizer does."""

from __future__ import annotations

import dataclasses

import torch

from ganforge.engine.cast import Cast, derive_seed, evaluating
from ganforge.engine.device import Precision
from ganforge.engine.loader import blank_batch
from ganforge.engine.scene import Program, Scene
from ganforge.engine.state import seed_all
from ganforge.parts import Progress
from ganforge.recipe.model import Recipe, written


def create_lazy_parameters(recipe: Recipe, cast: Cast, precision: Precision) -> None:
    """Run every loss's inputs once on an empty batch, with copies of the ops, so that nothing else changes."""
    rehearsal = dataclasses.replace(cast, ops=cast.copied_ops(cast.rngs))
    batch = blank_batch(recipe, precision)
    seed_all(derive_seed(recipe.run.seed, "lazy"))
    with evaluating(cast.networks), torch.no_grad():
        scene = Scene(Program(recipe, rehearsal), batch, (), Progress(0, 1, 1))
        for phase in recipe.phases:
            for loss in phase.losses:
                for item in written(loss.inputs):
                    scene.value(item.expression)
    precision.place(cast.networks)
