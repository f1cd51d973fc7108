"""`ganforge run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands.common import plugin_option, plugins_with_warnings, recipe_arguments, warn_of

if TYPE_CHECKING:
    from ganforge.engine.folder import RunFolder
    from ganforge.engine.run import Run
    from ganforge.plugins import Plugins
    from ganforge.recipe.model import Recipe


@click.command()
@recipe_arguments
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the newest run of the recipe, or with the run given; start one if there is none.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, say what would run, and stop.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where run folders go.",
)
@plugin_option
def command(
    recipe: str, overrides: tuple[str, ...], resume: bool, dry_run: bool, out: Path, files: tuple[Path, ...]
) -> None:
    """Train RECIPE: a file, the name of a shipped recipe, or a run's folder.

    \b
    Examples:
      ganforge run cyclegan_shapes
      ganforge run recipes/cyclegan_horse2zebra.yaml networks.G_ab.blocks=6 run.epochs=2
      ganforge run my_recipe.yaml -p my_losses.py
      ganforge run my_recipe.yaml --resume
      ganforge run runs/my_recipe/0003 --resume run.epochs=400

    Ctrl-C finishes the step, saves a checkpoint, and says how to go on.
    """
    from ganforge.recipe import open_recipe

    plugins = plugins_with_warnings(files)
    checked = open_recipe(recipe, overrides, plugins.registry)
    warn_of(checked.warnings)
    if dry_run:
        from ganforge.commands.check import report

        report(checked)
        return
    run = _prepare(checked, recipe, resume, out, plugins)
    if run is not None:
        run.train()
        if run.stop_signal is not None:
            sys.exit(128 + run.stop_signal)


def _prepare(recipe: Recipe, given: str, resume: bool, out: Path, plugins: Plugins) -> Run | None:
    from ganforge.engine.folder import latest_run_folder, new_run_folder, open_run_folder
    from ganforge.engine.resuming import check_unchanged
    from ganforge.engine.run import Run

    folder: RunFolder | None = None
    if resume:
        is_run = (Path(given) / "run.json").is_file()
        folder = open_run_folder(Path(given)) if is_run else latest_run_folder(out, recipe.name)
        if folder is None:
            click.echo(f"no run of {recipe.name} under {out} yet: starting one")
        else:
            check_unchanged(recipe, folder)
    distributions = [plugin.distribution for plugin in plugins.found if plugin.version and not plugin.reason]
    place = folder or new_run_folder(out, recipe.name)
    try:
        run = Run(recipe, place, plugins.registry)
    except BaseException:
        place.discard()
        raise
    if folder is None or not run.resume(distributions):
        run.start(distributions)
    elif run.step >= run.total_steps:
        click.echo(
            f"{run.folder} is finished: {run.step} of {run.total_steps} steps; "
            "to go on, give a larger run.epochs or run.steps"
        )
        return None
    return run
