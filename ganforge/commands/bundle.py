"""`ganforge bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands._common import bar, plugins_with_warnings, warn
from ganforge.commands._options import FILE, PATH, plugin_option
from ganforge.errors import UsageError

if TYPE_CHECKING:
    from ganforge.sharing.records import Record

SUFFIX = ".ganforge.zip"


@click.command()
@click.argument("run", metavar="RUN", type=PATH)
@click.option("-o", "--output", type=FILE, help=f"The file.  [default: RECIPE_NUMBER{SUFFIX}]")
@click.option("--checkpoint", metavar="NAME", help="Whose weights, such as step_0100000.  [default: the newest]")
@click.option("--best", metavar="FIGURE", help="The weights that had the best value of a figure, such as fid_b.")
@click.option("--full", is_flag=True, help="Pack the training's state too, so that others can go on from it.")
@click.option("--no-data", is_flag=True, help="Leave out the list of the dataset's files and their hashes.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@plugin_option
def command(
    run: Path,
    output: Path | None,
    checkpoint: str | None,
    best: str | None,
    full: bool,
    no_data: bool,
    overwrite: bool,
    files: tuple[Path, ...],
) -> None:
    """Pack RUN into one file, to share or to keep: recipe, versions, hashes, figures, panels and weights.

    `ganforge run FILE` trains it anew and says whether the same comes out; `ganforge translate FILE` uses it as it is.
    A bundle holds no code and none of the dataset's pictures. The same run gives the same bytes.

    \b
    Examples:
      ganforge bundle runs/cyclegan_shapes/0001
      ganforge bundle runs/cyclegan_horse2zebra/0003 --best fid_b -o horses.ganforge.zip
      ganforge bundle runs/cyclegan_horse2zebra/0003 --full
    """
    from ganforge.sharing.records import Record

    record = Record.read(run)
    chosen = _checkpoint(record, checkpoint, best)
    output = _target(output or Path(record.name.replace("/", "_")), overwrite)

    from ganforge.recipe import open_recipe
    from ganforge.runs.checkpoint.files import in_usual_files
    from ganforge.sharing.bundle import pack
    from ganforge.sharing.bundle.code import code_of
    from ganforge.sharing.bundle.data import data_manifest, told

    plugins = plugins_with_warnings(files)
    recipe = open_recipe(str(run), (), plugins.registry)
    code = code_of(recipe, plugins)
    with bar("hashing the dataset") as tell:
        data = data_manifest(recipe, tell, hashed=not no_data)
    _warn(record, code, best)
    with in_usual_files(chosen) as whole:
        sizes = pack(record, whole, output, code=code, data=data, state=full)
    click.echo(f"{output}: {output.stat().st_size / 2**20:.1f} MiB")
    _tell(chosen, sizes, code, "left out" if no_data else told(data), full)


def _target(given: Path, overwrite: bool) -> Path:
    output = given if given.suffix == ".zip" else given.with_name(f"{given.name}{SUFFIX}")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} is there already; give another with -o, or --overwrite")
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent} to write {output.name} into")
    return output


def _checkpoint(record: Record, name: str | None, best: str | None) -> Path:
    from ganforge.sharing.records import STEP

    if name and best:
        raise UsageError("give --checkpoint or --best, not both")
    folder = record.path / "checkpoints"
    found = [path for path in folder.glob("step_*") if STEP.fullmatch(path.name) and (path / "manifest.json").is_file()]
    if not found:
        raise UsageError(f"{record.path} has no checkpoint yet")
    if best:
        if best not in record.best:
            known = f"known: {', '.join(record.best)}" if record.best else "the run kept none"
            raise UsageError(f"{record.path} has no best '{best}'; {known}")
        name = f"step_{record.best[best][0]:07d}"
    by_name = {path.name: path for path in found}
    if name and name not in by_name:
        raise UsageError(f"{record.path} has no checkpoint {name}; it has {', '.join(sorted(by_name))}")
    return by_name[name] if name else max(found, key=lambda path: int(path.name.removeprefix("step_")))


def _warn(record: Record, code: dict[str, dict[str, str]], best: str | None) -> None:
    """Warn of what whoever gets the bundle would stumble over."""
    if record.status != "finished":
        done = f"{record.step} of {record.total_steps} steps"
        warn(f"the run is {record.status} after {done}: whoever runs the bundle has no last figures to compare with")
    trained = record.entries.get("code")
    if isinstance(trained, dict):
        changed = [name for name, now in code.items() if trained.get(name) != now]
        if changed:
            cure = "go back to the code of then, or train anew, to have it reproduced"
            told = f"the code of {', '.join(changed)} has changed since the run was trained"
            warn(f"{told}: the bundle says what it is now\n  {cure}")


def _tell(checkpoint: Path, sizes: dict[str, int], code: dict[str, dict[str, str]], data: str, full: bool) -> None:
    weights = sum(size for name, size in sizes.items() if name.startswith("checkpoints/"))
    panels = sum(name.startswith("images/") for name in sizes)
    kind = "weights and training state" if full else "weights"
    plugins = ", ".join(about.get("file") or f"{about['distribution']} {about['version']}" for about in code.values())
    click.echo(f"  {kind:9} {checkpoint.name}, {weights / 2**20:.1f} MiB")
    click.echo(f"  code      {plugins}: versions and hashes, no code")
    click.echo(f"  data      {data}" + (": names and hashes, no pictures" if "files of" in data else ""))
    click.echo(f"  panels    {panels}" + (", and the evaluation" if "evaluation.json" in sizes else ""))
