"""`ganforge run` by several processes: launching them, and being one of them."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganforge.commands._common import plugins_with_warnings, warn_of
from ganforge.errors import GanforgeError, UsageError

if TYPE_CHECKING:
    from ganforge.commands._start import RunRequest
    from ganforge.plugins.loading import Plugins
    from ganforge.ranks import World
    from ganforge.recipe.model import Recipe
    from ganforge.runs.run_folder import RunFolder

TIMEOUT_S = 600.0


def run_as_rank(request: RunRequest) -> None:
    """Train as one of the ranks that torchrun, or whatever sets the same environment, has started."""
    from ganforge.commands._start import started, train
    from ganforge.plugins.loading import load_plugins
    from ganforge.ranks import joined
    from ganforge.ranks.agreeing import agree
    from ganforge.runs.run_folder import RunFolder

    checked: Recipe | None = None
    plugins: Plugins | None = None
    fault: GanforgeError | None = None
    try:
        # One rank's are enough.
        load = plugins_with_warnings if os.environ["RANK"] == "0" else load_plugins
        plugins = load(request.files)
        checked = request.opened(plugins)
    except GanforgeError as error:
        fault = error
    with joined(checked.run.timeout_s if checked else TIMEOUT_S) as world:
        _agree_that_it_opens(world, fault)
        assert checked is not None
        assert plugins is not None
        agree(world, _about(checked, plugins))
        if world.leads:
            warn_of(checked.warnings)
        found = world.first_alone(lambda: _place(checked, request, plugins))
        told = world.from_first(_told(*found) if found else None)
        path, record, goes_on, accepts, changes, copied = told
        place = RunFolder(Path(path), record, world.leads, accepts, changes, copied)
        train(started(checked, place, goes_on, plugins, world))


def _told(place: RunFolder, goes_on: bool) -> list[Any]:
    """What the other ranks must know of the folder."""
    return [str(place.path), place.record, goes_on, place.accepts, place.changes, place.copied]


def _agree_that_it_opens(world: World, fault: GanforgeError | None) -> None:
    """End all ranks if one of them could not read the recipe."""
    faults = world.gather(str(fault) if fault else None)
    if fault is not None:
        raise fault
    if faulty := [rank for rank, told in enumerate(faults) if told]:
        raise UsageError(f"rank {faulty[0]} cannot read the recipe: see its own error")


def _about(recipe: Recipe, plugins: Plugins) -> dict[str, Any]:
    """What ranks must have in common."""
    from ganforge.core.machine import versions
    from ganforge.sharing.bundle.code import code_of

    code = code_of(recipe, plugins)
    releases = {name: entry.get("version") for name, entry in code.items()}
    return {
        "recipe": recipe.node.plain(),
        "version of": {**versions([]), **releases, "Python": platform.python_version()},
        "code of": {name: entry["sha256"] for name, entry in code.items()},
    }


def _place(recipe: Recipe, request: RunRequest, plugins: Plugins) -> tuple[RunFolder, bool]:
    """The run's folder, and whether a run goes on in it: as asked, or because this launch began it before."""
    from ganforge.commands._start import circumstances, to_resume
    from ganforge.runs.run_folder import new_run_folder
    from ganforge.sharing.records import as_checkpoint

    launch = _this_launch()
    anew = not request.resume or as_checkpoint(Path(request.recipe))
    begun = _begun_by(launch, recipe, request.out, plugins, request.accept) if anew else None
    folder = begun or to_resume(recipe, request, plugins)
    place = folder or new_run_folder(request.out, recipe.name)
    place.record |= {"launch": launch, **circumstances(recipe, plugins)}
    return place, folder is not None


def _begun_by(launch: str | None, recipe: Recipe, out: Path, plugins: Plugins, accept: bool) -> RunFolder | None:
    """The run that this launch began before its launcher restarted the processes."""
    from ganforge.commands._start import compare
    from ganforge.runs.run_folder import latest_run_folder

    folder = latest_run_folder(out, recipe.name)
    if folder is None or launch is None or folder.record.get("launch") != launch:
        return None
    compare(recipe, folder, plugins, accept)
    return folder


def _this_launch() -> str | None:
    """What tells this launch from others, if there is a launcher that restarts processes.

    The job's id alone does not: people give the same one again, and so do containers with the launcher's process.
    """
    from ganforge.sharing.process import began

    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    launcher = os.getppid()
    return f"{os.environ['TORCHELASTIC_RUN_ID']} {platform.node()} {launcher} {began(launcher)}"
