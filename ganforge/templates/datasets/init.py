"""Datasets for ganforge."""

from pathlib import Path

from ganforge import Register, hookimpl
from my_plugin.datasets import Stripes


@hookimpl
def register_datasets(register: Register) -> None:
    register("stripes", Stripes)


@hookimpl
def register_recipes(register: Register) -> None:
    register("my_plugin", Path(__file__).parent / "recipes" / "my_plugin.yaml")
