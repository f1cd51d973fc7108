"""Parameters that a network creates in its first forward exist before its optimizer does."""

from __future__ import annotations

import copy

import torch

from ganforge.engine.cast import Cast, derive_seed
from ganforge.engine.device import Precision
from ganforge.engine.scene import Program, Scene
from ganforge.parts import Progress
from ganforge.recipe.model import Recipe, written


def create_lazy_parameters(recipe: Recipe, cast: Cast, precision: Precision) -> None:
    """Run every loss's inputs once on an empty batch, with copies of the ops, so that nothing else changes."""
    ops = {name: copy.deepcopy(op) if hasattr(op, "state_dict") else op for name, op in cast.ops.items()}
    rngs = {name: rng.getstate() for name, rng in cast.rngs.items()}
    rehearsal = Cast(cast.networks, ops, cast.losses, cast.schedules, cast.rngs)
    batch = {
        name: torch.zeros(recipe.loader.batch_size, *shape, device=precision.device, dtype=precision.weights)
        for name, shape in recipe.dataset.shapes().items()
    }
    torch.manual_seed(derive_seed(recipe.run.seed, "lazy"))
    cast.networks.eval()
    with torch.no_grad():
        scene = Scene(Program(recipe, rehearsal), batch, (), Progress(0, 1, 1))
        for phase in recipe.phases:
            for loss in phase.losses:
                for item in written(loss.inputs):
                    scene.value(item.expression)
    precision.place(cast.networks.train())
    for name, state in rngs.items():
        cast.rngs[name].setstate(state)
