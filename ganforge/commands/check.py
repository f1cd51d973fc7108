"""`ganforge check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands._common import opened, plugins_with_warnings, warn_of
from ganforge.commands._options import plugin_option, recipe_arguments
from ganforge.failures.blame import blame

if TYPE_CHECKING:
    from ganforge.recipe.model import Recipe


@click.command()
@recipe_arguments
@click.option("--data", is_flag=True, help="Read the first samples too, and hold them against what the dataset says.")
@plugin_option
def command(recipe: str, overrides: tuple[str, ...], data: bool, files: tuple[Path, ...]) -> None:
    """Check RECIPE: names, options, expressions, and all shapes on fake tensors. Needs neither data nor a GPU; with
    `--data`, the data.

    \b
    Examples:
      ganforge check cyclegan_horse2zebra
      ganforge check my_recipe.yaml networks.G_ab.blocks=6 -p my_losses.py
      ganforge check my_recipe.yaml --data
    """
    checked = opened(recipe, overrides, plugins_with_warnings(files))
    warn_of(checked.warnings)
    report(checked)
    if data:
        report_data(checked)


def report(recipe: Recipe) -> None:
    """Run one step on fake tensors and say what it would do."""
    from ganforge.ranks.division import divide, divided
    from ganforge.rehearsal.known_plans import planned
    from ganforge.training.idle_stretches import idle_by_guess

    division = divide(recipe)
    recipe = divided(recipe, division)
    with blame("while checking"):
        plan = planned(recipe)
    warn_of(idle_by_guess(recipe, division.global_batch))
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


def report_data(recipe: Recipe) -> None:
    """Read the first samples, and say what is in them."""
    from ganforge.builtin.datasets.inspection.report import counted
    from ganforge.rehearsal.sample_checks import look_at_first, promise_of
    from ganforge.training.data import augmented, prepare_data, training_samples, validation_samples

    prepare_data(recipe)
    for remark in recipe.dataset.remarks():
        click.echo(f"  data: {remark}")
    training = augmented(recipe, training_samples(recipe))
    for samples, validation in ((training, False), (validation_samples(recipe), True)):
        said = promise_of(recipe, validation)
        if samples is None:
            click.echo(f"  no {said.split} samples: panels and metrics use training samples")
            continue
        look = look_at_first(samples, said, recipe.run.seed)
        click.echo(f"  {counted(len(samples), f'{said.split} sample')}, of which the first are as the dataset says:")
        for name, field in look.seen.items():
            click.echo(f"    {name}: {field.type} {list(said.shapes[name])}, {field.low:.4g} to {field.high:.4g}")
        look.tell()
