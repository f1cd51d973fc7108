"""`ganforge run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganforge.blame import blame
from ganforge.commands.common import plugin_option, plugins_with_warnings, recipe_arguments, warn, warn_of
from ganforge.errors import UsageError

BEFORE = "before the first step"

if TYPE_CHECKING:
    from ganforge.engine.folder import RunFolder
    from ganforge.engine.run import Run
    from ganforge.engine.world import World
    from ganforge.plugins import Plugins
    from ganforge.recipe.model import Recipe


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
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where run folders go.",
)
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
    from ganforge.plugins import load_plugins
    from ganforge.recipe import open_recipe
    from ganforge.sharing.bundle import is_bundle

    out = _place_of_runs(recipe, resume, accept, out)
    if is_bundle(Path(recipe)):
        from ganforge.commands.reproduction import reproduce

        if nproc:
            raise UsageError("a bundle is reproduced by one process: leave out --nproc")
        reproduce(Path(recipe), overrides, resume, accept, dry_run, out, files)
        return
    if "RANK" in os.environ and "MASTER_ADDR" in os.environ and not dry_run:
        if nproc:
            raise UsageError("this process is one of several ranks already, started by torchrun: leave out --nproc")
        from ganforge.commands.ranks import run_as_rank

        run_as_rank(recipe, overrides, resume, accept, out, files)
        return
    if nproc and not dry_run:
        from ganforge.commands.launching import launch
        from ganforge.engine.division import divide

        # What is wrong with the recipe is told once, before anything is launched; warnings are rank 0's.
        checked = open_recipe(recipe, overrides, load_plugins(list(files)).registry)
        if not resume:  # a run that goes on has its lanes
            divide(checked, nproc)
        resuming = [*(["--resume"] if resume else []), *(["--accept-changes"] if accept else [])]
        plain = [option for file in files for option in ("-p", str(file))]
        launch(["run", recipe, *overrides, *resuming, "--out", str(out), *plain], nproc, restarts)
        return
    plugins = plugins_with_warnings(files)
    checked = open_recipe(recipe, overrides, plugins.registry)
    warn_of(checked.warnings)
    if dry_run:
        from ganforge.commands.check import report

        report(checked)
    else:
        train(begin(checked, to_resume(checked, recipe, out, plugins, accept) if resume else None, out, plugins))


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
            f"{recipe} is a checkpoint: a new run can go on from it\n  ganforge run {recipe} --resume\n"
            f"  or train its recipe from the start: ganforge run {found[0]}"
        )
    said = click.get_current_context().get_parameter_source("out") is not click.core.ParameterSource.DEFAULT
    beside = found[0].resolve().parent.parent
    return out if said else Path(os.path.relpath(beside)) if beside.is_relative_to(Path.cwd()) else beside


def to_resume(recipe: Recipe, given: str, out: Path, plugins: Plugins, accept: bool) -> RunFolder | None:
    """The folder of the run to go on with; None to start one."""
    from ganforge.engine.branching import ancestral, branch, checkpoint_of
    from ganforge.engine.folder import latest_run_folder, open_run_folder
    from ganforge.sharing.process import is_at_work
    from ganforge.sharing.records import as_checkpoint, recipe_at

    if found := as_checkpoint(Path(given)):
        checkpoint, past = checkpoint_of(*found), ancestral(*found)
        compare(recipe, past, plugins, accept, recipe_at(*found), Path(given))
        place = branch(checkpoint, past, out, recipe.name)
        place.accepts, place.changes = past.accepts, past.changes
        click.echo(f"going back to step {found[1]} of {found[0]}, in a new run: {place.path}")
        return place
    is_run = (Path(given) / "run.json").is_file()
    folder = open_run_folder(Path(given)) if is_run else latest_run_folder(out, recipe.name)
    if folder is None:
        click.echo(f"no run of {recipe.name} under {out} yet: starting one")
        return None
    process = folder.record.get("process", {})
    if folder.record.get("status") == "running" and is_at_work(process):
        raise UsageError(
            f"{folder.path} is being trained by process {process['pid']}: two would write over each other\n"
            f"  wait for its end, or stop it: kill -INT {process['pid']}"
        )
    compare(recipe, folder, plugins, accept)
    return folder


def compare(
    recipe: Recipe,
    folder: RunFolder,
    plugins: Plugins,
    accept: bool,
    written: Path | None = None,
    given: Path | None = None,
) -> None:
    """Hold a recipe and the code that is here against those that a run last went on with; warn of what may differ.

    Raises:
        UsageError: they differ in what decides over the training, and nobody accepted it.
    """
    import platform

    from ganforge.engine.folder import versions
    from ganforge.engine.histories import code_changes, told_changes
    from ganforge.engine.resuming import check_unchanged

    here = circumstances(recipe, plugins)
    changed = code_changes(folder.record, here["code"])
    told = told_changes(folder.record, here["code"], versions([]), platform.python_version())
    if "code_history" not in folder.record and "code" in folder.record:  # an earlier ganforge kept none
        held = {key: folder.record.get(key, {}) for key in ("code", "versions")}
        folder.record["code_history"] = [{"step": 0, **held}]
    folder.record |= here
    folder.accepts = accept
    check_unchanged(recipe, folder, plugins.registry, others=changed, written=written, given=given)
    for change in told:
        warn(f"{given or folder.path} goes on with other code, and last bits may differ: {change}")
    folder.changes = [{"key": c.key, "before": c.before, "after": c.after} for c in (*changed, *told)]


def begin(
    recipe: Recipe, folder: RunFolder | None, out: Path, plugins: Plugins, known: Mapping[str, Any] | None = None
) -> Run | None:
    """A run that goes on in a folder, or starts in a new one; None if there is nothing left to do.

    `known` is what the record of a new run begins with.
    """
    from ganforge.engine.folder import new_run_folder
    from ganforge.engine.world import ALONE

    place = folder or new_run_folder(out, recipe.name)
    place.record |= {**(known or {}), **circumstances(recipe, plugins)}
    return started(recipe, place, folder is not None, plugins, ALONE)


def circumstances(recipe: Recipe, plugins: Plugins) -> dict[str, Any]:
    """What the record says of this process and its code."""
    from ganforge.sharing.bundle.code import code_of
    from ganforge.sharing.process import this_process

    files = [plugin.distribution for plugin in plugins.found if plugin.distribution and not plugin.version]
    return {"process": {**this_process(), "plugins": files}, "code": code_of(recipe, plugins)}


def started(recipe: Recipe, place: RunFolder, goes_on: bool, plugins: Plugins, world: World) -> Run | None:
    """A run in its folder, ready to train; None if there is nothing left to do."""
    from ganforge.engine.idling import idle
    from ganforge.engine.resuming import as_begun
    from ganforge.engine.run import Run

    distributions = [plugin.distribution for plugin in plugins.found if plugin.version and not plugin.reason]
    try:
        if goes_on:
            recipe = as_begun(recipe, place)
        with blame(BEFORE):
            run = Run(recipe, place, plugins.registry, world=world, tell=click.echo)
            resumed = goes_on and run.resume(distributions)
        if not resumed:
            run.start(distributions)
    except BaseException:
        place.discard()
        raise
    if goes_on and run.status == "finished":
        if world.leads:
            where = place.record["ancestor"]["run"] if place.copied else run.folder
            click.echo(
                f"{where} is finished: {run.step} of {run.total_steps} steps; "
                "to go on, give a larger run.epochs or run.steps"
            )
        if place.copied:
            place.discard()
        return None
    if world.leads:
        for change in (change for change in run.changes if change.key == "data.files"):
            warn(f"{run.folder} goes on with other files than it was trained on: {change}")
        warn_of(idle(run.recipe, run.trainer.progress, _mending(run)))
    return run


def _mending(run: Run) -> Callable[[str], str]:
    """Makes overrides a command: of a run that has begun, the one that goes on with it, changed."""
    if run.resumed_at is None:
        return lambda overrides: overrides
    return lambda overrides: run.resume_command("--accept-changes", *overrides.split(" "))


def train(run: Run | None) -> None:
    """Train to the end, or until a signal asks to stop, which the exit code then tells."""
    if run is not None and run.train() == "interrupted" and run.stop_signal is not None:
        sys.exit(128 + run.stop_signal)
