"""The hooks that a plugin may implement. A module with one or more `@hookimpl` functions is a plugin.

Each `register_*` hook is handed `register(name, part)`; the part's full name becomes `<plugin>.<name>`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

hookspec = pluggy.HookspecMarker("ganforge")
hookimpl = pluggy.HookimplMarker("ganforge")

Register = Callable[[str, Any], None]


@hookspec
def register_networks(register: Register) -> None:
    """Networks: an `nn.Module` class, or a function with typed options that returns one."""


@hookspec
def register_losses(register: Register) -> None:
    """Losses: a function returning a scalar, or an `nn.Module` class. Parameters annotated as tensors, sequences of
    tensors or modules are bound to expressions; the rest are options."""


@hookspec
def register_ops(register: Register) -> None:
    """Ops for expressions: a function, or a class with `__call__` (and `state_dict`, `load_state_dict` if stateful)."""


@hookspec
def register_datasets(register: Register) -> None:
    """Datasets: a subclass of `ganforge.Dataset`."""


@hookspec
def register_augmentations(register: Register) -> None:
    """Augmentations: a function of a picture and, if it draws, a `random.Random`, that returns the picture changed; or
    a class with `__call__`. The other parameters are options."""


@hookspec
def register_metrics(register: Register) -> None:
    """Metrics: a function of tensors returning a scalar, or a subclass of `ganforge.Metric`."""


@hookspec
def register_optimizers(register: Register) -> None:
    """Optimizers: a callable whose first parameter is the list of parameters; the rest are options."""


@hookspec
def register_schedules(register: Register) -> None:
    """Schedules: a function of `ganforge.Progress` returning a float; the other parameters are options."""


@hookspec
def register_callbacks(register: Register) -> None:
    """Callbacks: a subclass of `ganforge.Callback`."""


@hookspec
def register_importers(register: Register) -> None:
    """Importers: a function from published weights to a `ganforge.Imported`, for `ganforge import`."""


@hookspec
def register_recipes(register: Register) -> None:
    """Recipes that come with the plugin: the path of a YAML file."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Commands: add them to `cli`, the `ganforge` command line."""
