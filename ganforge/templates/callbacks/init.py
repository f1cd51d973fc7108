"""Callbacks for ganforge."""

from pathlib import Path

from ganforge import Register, hookimpl
from my_plugin.callbacks import Table


@hookimpl
def register_callbacks(register: Register) -> None:
    register("table", Table)


@hookimpl
def register_recipes(register: Register) -> None:
    register("my_plugin", Path(__file__).parent / "recipes" / "my_plugin.yaml")
