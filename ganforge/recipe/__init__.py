"""Recipes: found, read with the place of every value, and checked.

What needs torch is imported on use: recipes can be read as data without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge.errors import UsageError, suggest
from ganforge.recipe.merge import load

if TYPE_CHECKING:
    from ganforge.plugins.registry import Registry
    from ganforge.recipe.model import Recipe

MAX_NAME = 200


def find_recipe(name: str, registry: Registry) -> Path:
    """The file of a recipe: a path, a run's folder, or the name of a recipe that a plugin brings.

    Raises:
        UsageError: there is none.
    """
    path = Path(name)
    if len(name) > MAX_NAME:
        raise UsageError(f"no recipe has a name of {len(name)} characters")
    if path.is_dir() and (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    if path.is_file():
        return path
    if shipped := shipped_recipe(name, registry):
        return shipped
    if same := [part.full_name for part in registry.of("recipes") if part.name == name.removesuffix(".yaml")]:
        raise UsageError(f"the recipe '{name}' comes with {len(same)} plugins", f"write {' or '.join(same)}")
    known = {part.name for part in registry.of("recipes")}
    if path.parent.is_dir():
        known |= {str(near) for near in path.parent.glob("*.yaml")}
    cure = suggest(name, known, "there is none at hand: install a plugin that brings some")
    raise UsageError(f"no recipe '{name}'; {cure}", "`ganforge ls` lists the recipes at hand")


def shipped_recipe(name: str, registry: Registry) -> Path | None:
    """The file of a recipe that a plugin brings, by its name with or without `.yaml`."""
    from ganforge.plugins.registry import UnknownPart

    try:
        return Path(str(registry.find("recipes", name.removesuffix(".yaml")).factory))
    except UnknownPart:
        return None


def open_recipe(name: str, overrides: Sequence[str], registry: Registry) -> Recipe:
    """Find, read and check a recipe.

    Raises:
        UsageError: there is no such recipe.
        RecipeError: with all its faults.
    """
    from ganforge.recipe.reading import read_recipe

    path = find_recipe(name, registry)
    node = load(path, overrides, lambda extended: shipped_recipe(extended, registry))
    of_a_run = path.name.startswith("recipe") and (path.parent / "run.json").exists()
    return read_recipe(node, registry, path.resolve().parent.parent.name if of_a_run else path.stem)
