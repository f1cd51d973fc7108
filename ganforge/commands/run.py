"""`ganforge run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """Train RECIPE: a file, the name of a shipped recipe, a run's folder, or a bundle, which is reproduced.

    \b
    Examples:
      ganforge run cyclegan_shapes
      ganforge run recipes/cyclegan_horse2zebra.yaml networks.G_ab.blocks=6 run.epochs=2
      ganforge run my_recipe.yaml -p my_losses.py
      ganforge run my_recipe.yaml --resume
      ganforge run runs/my_recipe/0003 --resume run.epochs=400
      ganforge run cyclegan_shapes_0001.ganforge.zip

    Ctrl-C finishes the step, saves a checkpoint, and says how to go on.
    """
    from ganforge.recipe import open_recipe
    from ganforge.sharing.bundle import is_bundle

    if is_bundle(Path(recipe)):
        from ganforge.commands.reproduction import reproduce

        reproduce(Path(recipe), overrides, resume, dry_run, out, files)
        return
    plugins = plugins_with_warnings(files)
    checked = open_recipe(recipe, overrides, plugins.registry)
    warn_of(checked.warnings)
    if dry_run:
        from ganforge.commands.check import report

        report(checked)
        return
    train(begin(checked, _to_resume(checked, recipe, out) if resume else None, out, plugins))


def _to_resume(recipe: Recipe, given: str, out: Path) -> RunFolder | None:
    from ganforge.engine.folder import latest_run_folder, open_run_folder
    from ganforge.engine.resuming import check_unchanged

    is_run = (Path(given) / "run.json").is_file()
    folder = open_run_folder(Path(given)) if is_run else latest_run_folder(out, recipe.name)
    if folder is None:
        click.echo(f"no run of {recipe.name} under {out} yet: starting one")
    else:
        check_unchanged(recipe, folder)
    return folder


def begin(
    recipe: Recipe, folder: RunFolder | None, out: Path, plugins: Plugins, known: Mapping[str, Any] | None = None
) -> Run | None:
    """A run that goes on in a folder, or starts in a new one; None if there is nothing left to do.

    `known` is what the record of a new run begins with.
    """
    from ganforge.engine.folder import new_run_folder
    from ganforge.engine.run import Run
    from ganforge.sharing.bundle.code import code_of
    from ganforge.sharing.process import this_process

    distributions = [plugin.distribution for plugin in plugins.found if plugin.version and not plugin.reason]
    place = folder or new_run_folder(out, recipe.name)
    place.record |= {**(known or {}), "process": this_process(), "code": code_of(recipe, plugins)}
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


def train(run: Run | None) -> None:
    """Train to the end, or until a signal asks to stop, which the exit code then tells."""
    if run is not None:
        run.train()
        if run.stop_signal is not None:
            sys.exit(128 + run.stop_signal)
