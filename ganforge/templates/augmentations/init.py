"""Augmentations for ganforge."""

from pathlib import Path

from ganforge import Register, hookimpl
from my_plugin.augmentations import vignette


@hookimpl
def register_augmentations(register: Register) -> None:
    register("vignette", vignette)


@hookimpl
def register_recipes(register: Register) -> None:
    register("my_plugin", Path(__file__).parent / "recipes" / "my_plugin.yaml")
