"""`ganforge check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.blame import blame
from ganforge.commands.common import plugin_option, plugins_with_warnings, recipe_arguments, warn_of

if TYPE_CHECKING:
    from ganforge.recipe.model import Recipe


@click.command()
@recipe_arguments
@plugin_option
def command(recipe: str, overrides: tuple[str, ...], files: tuple[Path, ...]) -> None:
    """Check RECIPE: names, options, expressions, and all shapes on fake tensors. Needs neither data nor a GPU.

    \b
    Examples:
      ganforge check cyclegan_horse2zebra
      ganforge check my_recipe.yaml networks.G_ab.blocks=6 -p my_losses.py
    """
    from ganforge.recipe import open_recipe

    checked = open_recipe(recipe, overrides, plugins_with_warnings(files).registry)
    warn_of(checked.warnings)
    report(checked)


def report(recipe: Recipe) -> None:
    """Run one step on fake tensors and say what it would do."""
    from ganforge.engine.division import divide, divided
    from ganforge.engine.dryrun import dry_run

    recipe = divided(recipe, divide(recipe))
    with blame("while checking"):
        plan = dry_run(recipe)
    click.echo(f"{recipe.name}: all fits")
    for phase in recipe.phases:
        forwards = ", ".join(f"{name} {count}" for name, count in sorted(plan.forwards[phase.name].items()))
        click.echo(f"  phase {phase.name}: {len(phase.losses)} losses, forwards per step: {forwards or 'none'}")
    for phase_name, signal, player in plan.from_before:
        click.echo(f"  note: phase {phase_name} sees '{signal}' as it was before {player} stepped")
    for text in plan.unchecked:
        click.echo(f"  note: '{text}' looks at values, so its shapes, and what depends on it, show only when it runs")
    total = sum(plan.parameters.values())
    click.echo(f"  parameters: {total:,} ({', '.join(f'{name} {count:,}' for name, count in plan.parameters.items())})")
