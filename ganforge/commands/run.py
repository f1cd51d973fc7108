"""`ganforge run`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands._common import plugins_with_warnings, warn_of
from ganforge.commands._options import FOLDER, plugin_option, recipe_arguments
from ganforge.errors import UsageError

if TYPE_CHECKING:
    from ganforge.commands._start import RunRequest


@click.command()
@recipe_arguments
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the newest run of the recipe, or with the run given, and start one if there is none; or go back "
    "to the checkpoint given, in a new run.",
)
@click.option(
    "--accept-changes",
    "accept",
    is_flag=True,
    help="With --resume: go on though rates, schedules, weights of losses, batch size, precision or the code of a "
    "plugin have changed; run.json and the card say what and from which step on.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, say what would run, and stop.")
@click.option("--out", type=FOLDER, default=Path("runs"), show_default=True, help="Where run folders go.")
@click.option(
    "--nproc",
    type=click.IntRange(1),
    metavar="N",
    help="Train with so many processes on this machine: one for each GPU. torchrun does it on several.",
)
@click.option(
    "--restarts",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="With --nproc: how often to go on from the last checkpoint when a process dies.",
)
@plugin_option
def command(
    recipe: str,
    overrides: tuple[str, ...],
    resume: bool,
    accept: bool,
    dry_run: bool,
    out: Path,
    nproc: int | None,
    restarts: int,
    files: tuple[Path, ...],
) -> None:
    """Train RECIPE: a file, the name of a shipped recipe, a run's folder, one of its checkpoints, or a bundle, which is
    reproduced.

    \b
    Examples:
      ganforge run cyclegan_shapes
      ganforge run recipes/cyclegan_horse2zebra.yaml networks.G_ab.blocks=6 run.epochs=2
      ganforge run my_recipe.yaml -p my_losses.py
      ganforge run my_recipe.yaml --resume
      ganforge run runs/my_recipe/0003 --resume run.epochs=400
      ganforge run runs/my_recipe/0003 --resume --accept-changes players.generators.optimizer.lr=1e-4
      ganforge run runs/my_recipe/0003/checkpoints/step_0020000 --resume
      ganforge run my_recipe.yaml --nproc 8 run.global_batch=16
      ganforge run cyclegan_shapes_0001.ganforge.zip

    Ctrl-C finishes the step, saves a checkpoint, and says how to go on.
    """
    if nproc or "RANK" in os.environ:
        # Before torch is imported: broken connections are told in our own words.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from ganforge.commands._start import RunRequest
    from ganforge.sharing.bundle.unpacking import is_bundle

    request = RunRequest(recipe, overrides, resume, accept, _place_of_runs(recipe, resume, accept, out), files)
    if is_bundle(Path(recipe)):
        _reproduce(request, dry_run, nproc)
    elif "RANK" in os.environ and "MASTER_ADDR" in os.environ and not dry_run:
        _run_as_rank(request, nproc)
    elif nproc and not dry_run:
        _launch(request, nproc, restarts)
    else:
        _run_alone(request, dry_run)


def _reproduce(request: RunRequest, dry_run: bool, nproc: int | None) -> None:
    from ganforge.commands._reproduce import reproduce

    if nproc:
        raise UsageError("a bundle is reproduced by one process: leave out --nproc")
    reproduce(request, dry_run)


def _run_as_rank(request: RunRequest, nproc: int | None) -> None:
    if nproc:
        raise UsageError("this process is one of several ranks already, started by torchrun: leave out --nproc")
    from ganforge.commands._ranks import run_as_rank

    run_as_rank(request)


def _launch(request: RunRequest, nproc: int, restarts: int) -> None:
    from ganforge.commands._launch import launch
    from ganforge.plugins.loading import load_plugins
    from ganforge.ranks.division import divide

    # What is wrong with the recipe is told once, before anything is launched; warnings are rank 0's.
    checked = request.opened(load_plugins(list(request.files)))
    if not request.resume:  # a run that goes on has its lanes
        divide(checked, nproc)
    resuming = [*(["--resume"] if request.resume else []), *(["--accept-changes"] if request.accept else [])]
    plain = [option for file in request.files for option in ("-p", str(file))]
    launch(["run", request.recipe, *request.overrides, *resuming, "--out", str(request.out), *plain], nproc, restarts)


def _run_alone(request: RunRequest, dry_run: bool) -> None:
    from ganforge.commands._start import begin, to_resume, train

    plugins = plugins_with_warnings(request.files)
    checked = request.opened(plugins)
    warn_of(checked.warnings)
    if dry_run:
        from ganforge.commands.check import report

        report(checked)
        return
    train(begin(checked, to_resume(checked, request, plugins), request.out, plugins))


def _place_of_runs(recipe: str, resume: bool, accept: bool, out: Path) -> Path:
    """Where run folders go: one that goes on from a checkpoint lies beside the checkpoint's run, unless it is said.

    Raises:
        UsageError: the options contradict each other.
    """
    from ganforge.sharing.records import as_checkpoint

    if accept and not resume:
        raise UsageError("--accept-changes says what may differ where a run goes on: give --resume, too")
    found = as_checkpoint(Path(recipe))
    if found is None:
        return out
    if not resume:
        raise UsageError(
            f"{recipe} is a checkpoint: a new run can go on from it",
            f"ganforge run {recipe} --resume\nor train its recipe from the start: ganforge run {found[0]}",
        )
    said = click.get_current_context().get_parameter_source("out") is not click.core.ParameterSource.DEFAULT
    beside = found[0].resolve().parent.parent
    return out if said else Path(os.path.relpath(beside)) if beside.is_relative_to(Path.cwd()) else beside
