"""`ganforge run BUNDLE`: train what a bundle holds anew, and say whether the same comes out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganforge.commands._common import plugins_with_warnings, printable, warn, warn_of
from ganforge.errors import UsageError

if TYPE_CHECKING:
    from ganforge.commands._start import RunRequest
    from ganforge.plugins.loading import Plugins
    from ganforge.recipe.model import Recipe
    from ganforge.runs.run_folder import RunFolder
    from ganforge.sharing.bundle import Unpacked
    from ganforge.sharing.records import Record


def reproduce(request: RunRequest, dry_run: bool) -> None:
    """Train a bundle's recipe in a new run's folder; with `resume`, go on from its state instead."""
    from ganforge.commands._start import begin, train
    from ganforge.recipe import open_recipe
    from ganforge.sharing.bundle import unpack
    from ganforge.sharing.bundle.code import check_plugins
    from ganforge.sharing.records import Record

    bundle = Path(request.recipe)
    unpacked = unpack(bundle)
    if request.resume and not unpacked.contents.state:
        raise UsageError(
            f"{bundle} has no training state to go on from; `ganforge bundle --full` packs it",
            f"train it anew: ganforge run {bundle}; to go on with that, --resume the run's folder",
        )
    plugins = plugins_with_warnings(request.files)
    check_plugins(bundle, unpacked.contents, plugins.registry)
    recipe = open_recipe(str(unpacked.folder), request.overrides, plugins.registry)
    warn_of(recipe.warnings)
    record = Record.read(unpacked.folder)
    packed = f"{unpacked.contents.recipe}/{unpacked.contents.run}"
    click.echo(printable(f"{bundle}: {packed}, {record.status} after {record.step} steps"))
    _warn_of_differences(unpacked, record, recipe, plugins)
    if dry_run:
        from ganforge.commands.check import report

        report(recipe)
        return
    if request.resume:
        place = _continued(bundle, unpacked, recipe, request.out, plugins, request.accept)
        train(begin(recipe, place, request.out, plugins))
        return
    _settle_threads(record)
    known = {"reproduces": bundle.name, "machine": dict(record.machine), "levers": _levers(record)}
    run = begin(recipe, None, request.out, plugins, known)
    train(run)
    if run is not None:
        _tell(unpacked, record, recipe, run.folder)


def _warn_of_differences(unpacked: Unpacked, record: Record, recipe: Recipe, plugins: Plugins) -> None:
    from ganforge.core.machine import versions
    from ganforge.sharing.bundle.code import code_differences, code_of, version_differences
    from ganforge.sharing.bundle.data import data_differences
    from ganforge.training.data import prepare_data

    found = [*code_differences(unpacked.contents, code_of(recipe, plugins))]
    found += version_differences(record.versions, versions([]))
    prepare_data(recipe)  # it may have to be downloaded first
    found += data_differences(unpacked.data, recipe)
    for difference in found:
        warn(printable(difference))


def _continued(
    bundle: Path, unpacked: Unpacked, recipe: Recipe, out: Path, plugins: Plugins, accept: bool
) -> RunFolder:
    """The bundle's run as a run of its own here."""
    from ganforge.commands._start import compare
    from ganforge.runs.run_folder import new_run_folder, open_run_folder

    folder = open_run_folder(unpacked.folder)
    compare(recipe, folder, plugins, accept, given=bundle)
    folder.path = new_run_folder(out, recipe.name).path
    shutil.copytree(unpacked.folder, folder.path, dirs_exist_ok=True)
    return folder


def _settle_threads(record: Record) -> None:
    """Sums over another number of threads differ in their last bits."""
    import torch

    written = record.entries.get("machine")
    threads = written.get("threads") if isinstance(written, dict) else None
    if isinstance(threads, int) and threads != torch.get_num_threads():
        if 1 <= threads <= (os.cpu_count() or 1):
            torch.set_num_threads(threads)
        else:
            warn(f"the bundle's run took {threads} threads, which this machine has not: last bits may differ")


def _levers(record: Record) -> dict[str, bool]:
    """What made the run fast: settled anew on another device, the same on the same."""
    levers: Any = record.entries.get("levers")
    return {k: v for k, v in levers.items() if isinstance(v, bool)} if isinstance(levers, dict) else {}


def _tell(unpacked: Unpacked, record: Record, recipe: Recipe, folder: Path) -> None:
    from ganforge.recipe.nodes import read
    from ganforge.runs.resume_checks import LENGTH, changes
    from ganforge.runs.run_folder import open_run_folder
    from ganforge.sharing.bundle.reproduction import compare
    from ganforge.sharing.records import Record

    ours = Record.read(folder)
    changed = changes(read(unpacked.folder / "recipe.yaml").plain(), recipe.node.plain())
    under_way = [e for e in record.changes if e["key"] not in LENGTH]
    if under_way:
        which = ", ".join(f"{e['key']} at step {e['step']}" for e in under_way)
        changed_run = f"the bundle's run was changed while it trained ({which}); this one was not"
        click.echo(printable(f"nothing to compare with: {changed_run}"))
    elif changed or ours.step != record.total_steps:
        which = ", ".join(changed) or "the length"
        click.echo(f"nothing to compare with the bundle: you changed {which}")
    elif record.status != "finished":
        status = f"{printable(record.status)} after {record.step} steps"
        click.echo(f"nothing to compare with: the bundle's run was {status}")
    else:
        verdict = compare(unpacked, folder)
        open_run_folder(folder).note(reproduced=verdict.word)
        click.echo(printable("\n".join(verdict.lines())))
