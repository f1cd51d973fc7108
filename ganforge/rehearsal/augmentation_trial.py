"""Augmentations are tried on noise before any data is read: what does not fit a field is told at its place."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ganforge.api.context import MAP, PICTURE
from ganforge.errors import Problem, RecipeError
from ganforge.failures.blame import blame, refuse
from ganforge.recipe.building import refusal
from ganforge.recipe.model import AugmentUse, Recipe
from ganforge.rehearsal.random_data import random_fields
from ganforge.step.augmenting import Augmentation

DRAWS = 3
"""How often each is tried: what one draw leaves out, another may do."""


def augmentation_faults(recipe: Recipe) -> Iterator[Problem]:
    """What is wrong with the augmentations of a recipe: of each, the first fault."""
    dataset, generator = recipe.dataset, torch.Generator().manual_seed(0)
    made = random_fields(dataset.shapes(), dataset.dtypes(), 1, generator, torch.float32, ranges=dataset.ranges())
    sample, maps = {name: value[0] for name, value in made.items()}, frozenset(dataset.dtypes())
    for use in recipe.augment:
        yield from _faults(use, sample, maps)


def _faults(use: AugmentUse, sample: dict[str, Tensor], maps: frozenset[str]) -> Iterator[Problem]:
    try:
        augmentation = Augmentation(use.use)
    except RecipeError as refused:
        yield from refused.problems
        return
    for name in (name for group in use.groups for name in group):
        try:
            with blame("", use.use), torch.no_grad():
                _try(augmentation, sample[name], is_map=name in maps)
        except Exception as error:
            problem, part = refusal(error, use.use), use.use.part.name
            what = f"{part} cannot change '{name}' {list(sample[name].shape)}"
            yield replace(problem, message=f"{what}: {problem.message.removeprefix(f'{part}: ')}")
            return


def _try(augmentation: Augmentation, field: Tensor, is_map: bool) -> None:
    deep = field if field.ndim > 2 else field[None]
    for seed in range(DRAWS):
        changed = augmentation(deep.clone(), random.Random(seed), MAP if is_map else PICTURE)
        if changed.is_floating_point() and not bool(torch.isfinite(changed).all()):
            raise refuse("it gives NaN or infinity", augmentation.use)
