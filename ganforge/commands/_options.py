"""The options and arguments that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

plugin_option = click.option(
    "-p",
    "--plugin",
    "files",
    multiple=True,
    type=FILE,
    help="A plain Python file to load as a plugin; may be given several times.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "fp64", "fp32", "tf32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="What the networks compute in; auto is what they were trained in, where this device is fast in it.",
)
overrides_argument = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")


def recipe_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments of a recipe and its overrides."""
    return click.argument("recipe", metavar="RECIPE")(overrides_argument(command))
