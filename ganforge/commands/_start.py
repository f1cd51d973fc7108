"""Runs that start, or go on: their folders, what is told of what has changed, and the exit code at their end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganforge.commands._common import opened, warn, warn_of
from ganforge.errors import UsageError
from ganforge.failures.blame import blame

if TYPE_CHECKING:
    from ganforge.plugins.loading import Plugins
    from ganforge.ranks import World
    from ganforge.recipe.model import Recipe
    from ganforge.runs.run import Run
    from ganforge.runs.run_folder import RunFolder

BEFORE = "before the first step"


@dataclass(frozen=True)
class RunRequest:
    """What `ganforge run` is asked for."""

    recipe: str
    overrides: tuple[str, ...]
    resume: bool
    accept: bool
    """Whether the run goes on though something has changed."""
    out: Path
    """Where run folders go."""
    files: tuple[Path, ...]
    """Plain plugins."""

    def opened(self, plugins: Plugins) -> Recipe:
        """The recipe, with its overrides."""
        return opened(self.recipe, self.overrides, plugins)


def to_resume(recipe: Recipe, request: RunRequest, plugins: Plugins) -> RunFolder | None:
    """The folder of the run to go on with; None to start one."""
    from ganforge.runs.branching import ancestral, branch, checkpoint_of
    from ganforge.runs.run_folder import latest_run_folder, open_run_folder
    from ganforge.sharing.process import is_at_work
    from ganforge.sharing.records import as_checkpoint, recipe_at

    if not request.resume:
        return None
    given = Path(request.recipe)
    if found := as_checkpoint(given):
        checkpoint, past = checkpoint_of(*found), ancestral(*found)
        compare(recipe, past, plugins, request.accept, recipe_at(*found), given)
        place = branch(checkpoint, past, request.out, recipe.name)
        place.accepts, place.changes = past.accepts, past.changes
        click.echo(f"going back to step {found[1]} of {found[0]}, in a new run: {place.path}")
        return place
    is_run = (given / "run.json").is_file()
    folder = open_run_folder(given) if is_run else latest_run_folder(request.out, recipe.name)
    if folder is None:
        click.echo(f"no run of {recipe.name} under {request.out} yet: starting one")
        return None
    process = folder.record.get("process", {})
    if folder.record.get("status") == "running" and is_at_work(process):
        raise UsageError(
            f"{folder.path} is being trained by process {process['pid']}: two would write over each other",
            f"wait for its end, or stop it: kill -INT {process['pid']}",
        )
    compare(recipe, folder, plugins, request.accept)
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

    from ganforge.core.machine import versions
    from ganforge.runs.histories import code_changes, told_changes
    from ganforge.runs.resume_checks import check_unchanged

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
    from ganforge.ranks import ALONE
    from ganforge.runs.run_folder import new_run_folder

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
    from ganforge.runs.resume_checks import as_begun
    from ganforge.runs.run import Run
    from ganforge.training.idle_stretches import idle

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
            done = f"{where} is finished: {run.step} of {run.total_steps} steps"
            click.echo(f"{done}; to go on, give a larger run.epochs or run.steps")
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
    if run is not None and run.train() == "interrupted" and run.stopping.signal is not None:
        sys.exit(128 + run.stopping.signal)
