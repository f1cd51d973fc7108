"""Networks for ganforge."""

from pathlib import Path

from ganforge import Register, hookimpl
from my_plugin.networks import DilatedGenerator


@hookimpl
def register_networks(register: Register) -> None:
    register("dilated_generator", DilatedGenerator)


@hookimpl
def register_recipes(register: Register) -> None:
    register("my_plugin", Path(__file__).parent / "recipes" / "my_plugin.yaml")
