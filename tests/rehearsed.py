"""Dry runs for tests of what comes after them: a recipe is rehearsed once, however often it is asked for.

Fake tensors are slow, and most of what a short training of a tiny recipe takes. In a process, whatever a dry run
depends on is compared, parts by identity; of recipes as they were opened, those of other processes are known too, as
commands know them. A fault is never kept.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tiny import TINY

from ganforge.plugins.loading import load_plugins
from ganforge.plugins.registry import Registry
from ganforge.recipe import open_recipe
from ganforge.recipe.model import Recipe
from ganforge.rehearsal import dry_run as rehearsing
from ganforge.rehearsal import known_plans

EXACT = ("run.precision=fp64", "run.device=cpu")
_rehearse = rehearsing.dry_run
_opened: dict[int, Recipe] = {}
"""Recipes that say in their text all that they are, by identity."""
_known: dict[str, list[tuple[tuple[Any, ...], rehearsing.DryRun]]] = defaultdict(list)


@functools.cache
def registry(*plugins: Path) -> Registry:
    """All that is installed, and these files."""
    return load_plugins(plugins).registry


def opened(name: str, overrides: Sequence[str] = (), *plugins: Path) -> Recipe:
    """A tiny recipe that computes in float64 on the CPU, as `Parity` would open it."""
    recipe = open_recipe(str(TINY / f"{name}.yaml"), (*overrides, *EXACT), registry(*plugins))
    return _opened.setdefault(id(recipe), recipe)


def dry_run(recipe: Recipe, to_train: bool = True) -> rehearsing.DryRun:
    """What the real one gives, from the first time on that such a recipe was rehearsed here."""
    about, known = (to_train, *_circumstances(recipe)), _known[recipe.name]
    for before, plan in known:
        if before == about:
            return dataclasses.replace(plan)
    if id(recipe) in _opened:
        with patch.object(known_plans, "dry_run", _rehearse):
            plan = known_plans.planned(recipe, to_train)
    else:
        plan = _rehearse(recipe, to_train)
    known.append((about, plan))
    return dataclasses.replace(plan)


def takes_after(recipe: Recipe, other: Recipe) -> Recipe:
    """Let a recipe have the dry run of another one, whose networks it has; gives the recipe."""
    _known[recipe.name].append(((True, *_circumstances(recipe)), dry_run(other)))
    return recipe


def _circumstances(recipe: Recipe) -> tuple[Any, ...]:
    """All that a dry run depends on; the parts that it names stay alive with it, so that identity tells them apart."""
    dataset = recipe.dataset
    return (
        *(recipe.networks, recipe.ops, recipe.schedules, recipe.signals, recipe.players, recipe.phases),
        *(recipe.metrics, recipe.images, recipe.functions, recipe.data, recipe.loader, recipe.run.seed),
        *(dict(dataset.shapes()), dict(dataset.validation_shapes()), dict(dataset.dtypes()), dict(dataset.ranges())),
    )
