"""Ops for ganforge."""

from pathlib import Path

from ganforge import Register, hookimpl
from my_plugin.ops import brightness


@hookimpl
def register_ops(register: Register) -> None:
    register("brightness", brightness)


@hookimpl
def register_recipes(register: Register) -> None:
    register("my_plugin", Path(__file__).parent / "recipes" / "my_plugin.yaml")
