"""`ganforge data`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ganforge.commands._common import plugin_option, plugins_with_warnings, recipe_arguments
from ganforge.commands._data_pack import pack, verify
from ganforge.errors import UsageError

if TYPE_CHECKING:
    from ganforge.api.datasets import Samples
    from ganforge.builtin.datasets.inspection import Report
    from ganforge.builtin.datasets.layout.model import Kind, Layout

T = TypeVar("T")


@click.group()
def command() -> None:
    """Download published datasets, look at what training will see, and pack large ones.

    \b
    Examples:
      ganforge data ls
      ganforge data download horse2zebra
      ganforge data inspect datasets/horse2zebra
      ganforge data show my_recipe.yaml -o samples.png
      ganforge data pack datasets/horse2zebra -o packs/horse2zebra
    """


command.add_command(pack)
command.add_command(verify)


@command.command("ls")
def list_archives() -> None:
    """List the datasets that can be downloaded.

    \b
    Example:
      ganforge data ls
    """
    from ganforge.builtin.datasets.archives import ARCHIVES

    for name, archive in sorted(ARCHIVES.items()):
        click.echo(f"{name:24} {archive.size / 2**20:7.0f} MiB  {archive.url}")


@command.command()
@click.argument("name")
@click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), help="Where to put it.  [default: datasets/NAME]"
)
def download(name: str, root: Path | None) -> None:
    """Download the dataset NAME.

    It can be interrupted and goes on; it is checked against its published hash, and there whole or not at all.

    \b
    Example:
      ganforge data download horse2zebra --root datasets/horse2zebra
    """
    from ganforge.builtin.datasets.download import fetch

    folder = root or Path("datasets") / name
    try:
        fetch(name, folder)
    except ValueError as error:
        raise UsageError(str(error)) from error
    click.echo(f"{name} is in {folder}")


@command.command()
@recipe_arguments
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("samples.png"), show_default=True
)
@click.option("-n", "--count", type=click.IntRange(1, 64), default=4, show_default=True, help="How many samples.")
@plugin_option
def show(recipe: str, overrides: tuple[str, ...], output: Path, count: int, files: tuple[Path, ...]) -> None:
    """Draw samples of RECIPE as training sees them.

    They are counted, too, and drawn cropped, mirrored and paired. A recipe's `download` fetches its data first.

    \b
    Examples:
      ganforge data show cyclegan_shapes -o samples.png
      ganforge data show cyclegan_horse2zebra data.root=my_data data.download=null
    """
    from ganforge.recipe import open_recipe
    from ganforge.sharing.locate import recipe_in
    from ganforge.training.data import prepare_data, training_samples, validation_samples

    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent} to draw into; make it, or give another -o")
    if Path(recipe).is_dir() and not (Path(recipe) / "recipe.yaml").is_file():
        raise UsageError(
            f"{recipe} is a folder, and no run's; `ganforge data inspect {recipe}` looks at pictures as they are"
        )
    checked = open_recipe(recipe_in(recipe), overrides, plugins_with_warnings(files).registry)
    prepare_data(checked)
    train, validation = training_samples(checked), validation_samples(checked)
    click.echo(f"training samples: {len(train)}")
    click.echo(
        f"validation samples: {len(validation) if validation else 'none: panels and metrics use training samples'}"
    )
    for remark in checked.dataset.remarks():
        click.echo(remark)
    for name, shape in checked.dataset.shapes().items():
        click.echo(f"  {name}: {list(shape)}")
    names = [name for name, shape in checked.dataset.shapes().items() if len(shape) == 3]
    if not names:
        click.echo("no field is an image: nothing is drawn")
        return
    _draw(train, names, min(count, len(train)), checked.run.seed, output)
    click.echo(f"drawn: {output}")


def _draw(samples: Samples, names: Sequence[str], count: int, seed: int, output: Path) -> None:
    import random

    from ganforge import images
    from ganforge.core.randomness import derive_seed
    from ganforge.training.panels import lay_out

    drawn = [samples.sample(index, random.Random(derive_seed(seed, "sample", 0, index))) for index in range(count)]
    rows = [[images.to_uint8(sample[name]).expand(3, -1, -1) for name in names] for sample in drawn]
    images.write_image(output, lay_out(rows, names))


@command.command()
@click.argument("root", metavar="ROOT")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--crop", "crop_px", type=click.IntRange(1), help="The side of a training sample, in pixels.  [default: 256]"
)
@click.option(
    "--layout",
    "kind",
    type=click.Choice(("two_domains", "pairs", "two_folders", "classes", "one_folder")),
    help="What ROOT holds, where the names of its folders tell two things.",
)
@click.option("--all", "everything", is_flag=True, help="Name every file, not only the first of each finding.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, for programs.")
@click.option("--strict", is_flag=True, help="Exit with 3 if there are errors or warnings.")
@click.pass_context
@plugin_option
def inspect(
    context: click.Context,
    root: str,
    overrides: tuple[str, ...],
    crop_px: int | None,
    kind: Kind | None,
    everything: bool,
    as_json: bool,
    strict: bool,
    files: tuple[Path, ...],
) -> None:
    """Find what is wrong with pictures in ROOT.

    All are decoded: broken files, copies, leaks into the test, gaps between domains and more are told, with the cure.
    ROOT is a folder: with trainA and trainB, with train (pairs side by side), with a folder a class, or with
    pictures. Or it is a recipe, with overrides or without: then its data is inspected, for its crop.

    \b
    Examples:
      ganforge data inspect datasets/horse2zebra
      ganforge data inspect cyclegan_horse2zebra data.root=my_data --all
      ganforge data inspect my_data --json --strict > report.json
    """
    import json

    from ganforge.commands._findings import print_report

    folder: Path | Layout = Path(root)
    sample_px = 256
    if not Path(root).is_dir() or (Path(root) / "recipe.yaml").is_file():  # a run's folder is its recipe
        folder, sample_px = _data_of(root, overrides, files)
    elif overrides:
        raise UsageError(
            f"{overrides[0]} changes a recipe, but {root} is a folder", "`--crop` says how large samples are"
        )
    report = _inspected(folder, crop_px or sample_px, kind)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        print_report(report, everything)
    if strict and (report.count("error") or report.count("warning")):
        context.exit(3)


def _inspected(folder: Path | Layout, crop_px: int, kind: Kind | None) -> Report:
    from rich import progress
    from rich.console import Console

    from ganforge.builtin.datasets.inspection import inspect

    # The bar has a standard error of its own: the process's is kept back during the inspection.
    with os.fdopen(os.dup(2), "w") as stderr:
        bars = Console(file=stderr)

        def track(items: Sequence[T], what: str, /) -> Iterable[T]:
            return progress.track(items, what, console=bars, transient=True, disable=not bars.is_terminal)

        return inspect(folder, crop_px, track, kind)


def _data_of(recipe: str, overrides: tuple[str, ...], files: tuple[Path, ...]) -> tuple[Path | Layout, int]:
    """What the dataset of a recipe finds in its folder, or else the folder; and the side of its samples."""
    from ganforge.builtin.datasets.layout.reading import read_layout
    from ganforge.images import SUFFIXES
    from ganforge.recipe import find_recipe, open_recipe
    from ganforge.sharing.locate import recipe_in

    if Path(recipe).suffix.lower() in SUFFIXES:
        raise UsageError(f"{recipe} is a picture", "name the folder of your data, or a recipe")
    registry = plugins_with_warnings(files).registry
    try:
        find_recipe(recipe_in(recipe), registry)
    except UsageError:
        raise UsageError(
            f"there is no folder and no recipe '{recipe}'",
            "name a folder of pictures, or fetch a published one: "
            "`ganforge data ls` lists them, `ganforge data download NAME` fetches one",
        ) from None
    dataset = open_recipe(recipe_in(recipe), overrides, registry).dataset
    root = getattr(dataset, "root", None)
    if not isinstance(root, Path):
        raise UsageError(f"the data of {recipe} have no folder to inspect; `ganforge data show {recipe}` draws some")
    kind = getattr(getattr(dataset, "folders", None), "kind", None)
    found = read_layout(root, kind) if kind and root.is_dir() else root
    return found, max((min(shape[1:]) for shape in dataset.shapes().values() if len(shape) == 3), default=256)
