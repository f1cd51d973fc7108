"""`ganforge show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganforge.commands._common import opened, plugins_with_warnings, warn_of, wide_console
from ganforge.commands._options import plugin_option, recipe_arguments

if TYPE_CHECKING:
    from rich.tree import Tree

    from ganforge.recipe.model import LossUse, Recipe
    from ganforge.rehearsal.dry_run import DryRun


@click.command()
@recipe_arguments
@click.option(
    "--graph", is_flag=True, help="The dataflow as a tree: phases, losses, forwards, shapes, parameters, FLOPs."
)
@plugin_option
def command(recipe: str, overrides: tuple[str, ...], graph: bool, files: tuple[Path, ...]) -> None:
    """Show RECIPE resolved: everything it extends and overrides merged, each value with its origin.

    \b
    Examples:
      ganforge show cyclegan_shapes
      ganforge show cyclegan_horse2zebra --graph
      ganforge show my_recipe.yaml run.epochs=2
    """
    from ganforge.recipe.yaml_writing import dump

    checked = opened(recipe, overrides, plugins_with_warnings(files))
    warn_of(checked.warnings)
    if graph:
        from ganforge.rehearsal.known_plans import planned

        wide_console().print(dataflow(checked, planned(checked)))
    else:
        click.echo(dump(checked.node, origins=True), nl=False)


def dataflow(recipe: Recipe, plan: DryRun) -> Tree:
    """What a step does, as a tree."""
    from rich.tree import Tree

    root = Tree(f"[bold]{recipe.name}[/bold]: one step, a batch of {recipe.loader.batch_size}")
    signals = root.add("signals")
    for name, shape in plan.shapes.items():
        written = recipe.signals.get(name)
        signals.add(f"{name} {_shape(shape)}" + (f" = {written.text}" if written else "  [dim]from the data[/dim]"))
    for phase in recipe.phases:
        player = recipe.players[phase.train]
        every = f", every {phase.every} steps" if phase.every > 1 else ""
        branch = root.add(f"phase [bold]{phase.name}[/bold] trains {', '.join(player.networks)}{every}")
        forwards = branch.add("forwards")
        for call, count in sorted(plan.forwards[phase.name].items()):
            forwards.add(f"{call}: {count}")
        losses = branch.add("losses")
        for loss in phase.losses:
            losses.add(_loss(loss))
        branch.add(f"forward and backward: {plan.flops[phase.name] / 1e9:,.1f} GFLOP")
    networks = root.add(f"networks: {sum(plan.parameters.values()):,} parameters")
    for name, count in plan.parameters.items():
        use = recipe.networks[name]
        owner = "frozen" if use.frozen else f"learns with {recipe.owner(name)}"
        networks.add(f"{name}: {use.part.full_name}, {count:,} parameters, {owner}")
    return root


def _loss(loss: LossUse) -> str:
    inputs = ", ".join(
        f"{name}=\\[{', '.join(w.text for w in bound)}]" if isinstance(bound, tuple) else f"{name}={bound.text}"
        for name, bound in loss.inputs.items()
    )
    weight = f"{loss.weight:g}" if isinstance(loss.weight, float) else loss.weight.part.name
    every = f", every {loss.every} steps" if loss.every > 1 else ""
    return f"{loss.name} = {weight} x {loss.use.part.name}({inputs}){every}"


def _shape(shape: Any) -> str:
    """The sizes of a tensor, those of each field of a named tuple, or how many tensors a list has."""
    if fields := getattr(shape, "_fields", None):
        return ", ".join(f"{name} {_shape(value)}" for name, value in zip(fields, shape, strict=True))
    if isinstance(shape, list | tuple) and shape and not isinstance(shape[0], int):
        return f"({len(shape)} tensors)"
    return str(shape).replace("[", "\\[")
