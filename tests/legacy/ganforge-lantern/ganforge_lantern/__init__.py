"""Lamps lit in dark rooms: a part of every kind."""

from pathlib import Path

import click

from ganforge import Register, hookimpl
from ganforge_lantern import losses, networks, ops, watching
from ganforge_lantern.command import lamps
from ganforge_lantern.importer import import_lantern
from ganforge_lantern.learning import dim, gentle
from ganforge_lantern.metrics import Gloom, brightness
from ganforge_lantern.rooms import Rooms


@hookimpl
def register_networks(register: Register) -> None:
    register("wick", networks.Wick)
    register("keeper", networks.Keeper)
    register("small_wick", networks.small_wick)


@hookimpl
def register_losses(register: Register) -> None:
    register("warm_d", losses.warm_d)
    register("warm_g", losses.warm_g)
    register("steep", losses.steep)
    register("kin", losses.kin)
    register("steady", losses.Steady)
    register("through", losses.through)


@hookimpl
def register_ops(register: Register) -> None:
    register("flicker", ops.flicker)
    register("memory", ops.Memory)


@hookimpl
def register_datasets(register: Register) -> None:
    register("rooms", Rooms)


@hookimpl
def register_metrics(register: Register) -> None:
    register("brightness", brightness)
    register("gloom", Gloom)


@hookimpl
def register_optimizers(register: Register) -> None:
    register("gentle", gentle)


@hookimpl
def register_schedules(register: Register) -> None:
    register("dim", dim)


@hookimpl
def register_callbacks(register: Register) -> None:
    register("diary", watching.Diary)


@hookimpl
def register_importers(register: Register) -> None:
    register("lantern", import_lantern)


@hookimpl
def register_recipes(register: Register) -> None:
    register("lantern", Path(__file__).parent / "recipes" / "lantern.yaml")


@hookimpl
def register_commands(cli: click.Group) -> None:
    cli.add_command(lamps)
