"""Losses for ganforge."""

from pathlib import Path

from ganforge import Register, hookimpl
from my_plugin.losses import charbonnier


@hookimpl
def register_losses(register: Register) -> None:
    register("charbonnier", charbonnier)


@hookimpl
def register_recipes(register: Register) -> None:
    register("my_plugin", Path(__file__).parent / "recipes" / "my_plugin.yaml")
