"""`ganforge data`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ganforge.commands._common import opened, plugins_with_warnings, progress
from ganforge.commands._options import FILE, FOLDER, PATH, overrides_argument, plugin_option, recipe_arguments
from ganforge.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from ganforge.api.datasets import Samples
    from ganforge.builtin.datasets.framing import Framing
    from ganforge.builtin.datasets.inspection import Report
    from ganforge.builtin.datasets.layout.model import Folder, Kind, Layout
    from ganforge.images import Storage

T = TypeVar("T")


@dataclass(frozen=True)
class Told:
    """What a recipe says of the pictures of a folder."""

    storage_of: Callable[[Folder], Storage] | None = None
    framing: Framing | None = None


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
@click.option("--root", type=FOLDER, help="Where to put it.  [default: datasets/NAME]")
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
@click.option("-o", "--output", type=FILE, default=Path("samples.png"), show_default=True)
@click.option("-n", "--count", type=click.IntRange(1, 64), default=4, show_default=True, help="How many samples.")
@plugin_option
def show(recipe: str, overrides: tuple[str, ...], output: Path, count: int, files: tuple[Path, ...]) -> None:
    """Draw samples of RECIPE as training sees them.

    They are counted, too, and drawn cropped, mirrored, paired and augmented. A recipe's `download` fetches its data
    first.

    \b
    Examples:
      ganforge data show cyclegan_shapes -o samples.png
      ganforge data show cyclegan_horse2zebra data.root=my_data data.download=null
    """
    from ganforge.training.data import augmented, prepare_data, training_samples, validation_samples

    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent} to draw into; make it, or give another -o")
    if Path(recipe).is_dir() and not (Path(recipe) / "recipe.yaml").is_file():
        cure = f"`ganforge data inspect {recipe}` looks at pictures as they are"
        raise UsageError(f"{recipe} is a folder, and no run's; {cure}")
    checked = opened(recipe, overrides, plugins_with_warnings(files))
    prepare_data(checked)
    train, validation = augmented(checked, training_samples(checked)), validation_samples(checked)
    click.echo(f"training samples: {len(train)}")
    unseen = len(validation) if validation else "none: panels and metrics use training samples"
    click.echo(f"validation samples: {unseen}")
    for remark in checked.dataset.remarks():
        click.echo(remark)
    for name, shape in checked.dataset.shapes().items():
        click.echo(f"  {name}: {list(shape)}")
    names = [name for name, shape in checked.dataset.shapes().items() if len(shape) == 3]
    show = checked.run.show
    if not names:
        click.echo("no field is an image: nothing is drawn")
        return
    looks = {name: show.get(name) for name in names}
    masks = checked.dataset.dtypes().keys()
    _draw(train, looks, masks, min(count, len(train)), checked.run.seed, output)
    click.echo(f"drawn: {output}")


def _draw(
    samples: Samples,
    looks: Mapping[str, Sequence[int] | None],
    masks: Collection[str],
    count: int,
    seed: int,
    out: Path,
) -> None:
    import random

    from ganforge import images
    from ganforge.core.randomness import derive_seed
    from ganforge.training.panels import lay_out

    drawn = [samples.sample(index, random.Random(derive_seed(seed, "sample", 0, index))) for index in range(count)]
    rows = [
        [images.shown(sample[name] * 2 - 1 if name in masks else sample[name], look) for name, look in looks.items()]
        for sample in drawn
    ]
    images.write_image(out, lay_out(rows, list(looks)))


@command.command()
@click.argument("root", metavar="ROOT")
@overrides_argument
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
    sample_px, told = 256, Told()
    if not Path(root).is_dir() or (Path(root) / "recipe.yaml").is_file():  # a run's folder is its recipe
        folder, sample_px, told = _data_of(root, overrides, files)
    elif overrides:
        message = f"{overrides[0]} changes a recipe, but {root} is a folder"
        raise UsageError(message, "`--crop` says how large samples are")
    report = _inspected(folder, crop_px or sample_px, kind, told)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        print_report(report, everything)
    if strict and (report.count("error") or report.count("warning")):
        context.exit(3)


def _inspected(folder: Path | Layout, crop_px: int, kind: Kind | None, told: Told) -> Report:
    from rich.console import Console
    from rich.progress import track as tracked

    from ganforge.builtin.datasets.inspection import inspect

    # The bar has a standard error of its own: the process's is kept back during the inspection.
    with os.fdopen(os.dup(2), "w") as stderr:
        bars = Console(file=stderr)

        def track(items: Sequence[T], what: str, /) -> Iterable[T]:
            return tracked(items, what, console=bars, transient=True, disable=not bars.is_terminal)

        return inspect(folder, crop_px, track, kind, told.storage_of, told.framing)


def _data_of(recipe: str, overrides: tuple[str, ...], files: tuple[Path, ...]) -> tuple[Path | Layout, int, Told]:
    """What the dataset of a recipe finds in its folder, or else the folder; the side of its samples; and what else it
    says of its pictures."""
    from ganforge.builtin.datasets.layout.reading import read_layout
    from ganforge.images import SUFFIXES
    from ganforge.recipe import find_recipe
    from ganforge.sharing.locate import recipe_in

    if Path(recipe).suffix.lower() in SUFFIXES:
        raise UsageError(f"{recipe} is a picture", "name the folder of your data, or a recipe")
    plugins = plugins_with_warnings(files)
    try:
        find_recipe(recipe_in(recipe), plugins.registry)
    except UsageError:
        raise UsageError(
            f"there is no folder and no recipe '{recipe}'",
            "name a folder of pictures, or fetch a published one: "
            "`ganforge data ls` lists them, `ganforge data download NAME` fetches one",
        ) from None
    dataset = opened(recipe, overrides, plugins).dataset
    root = getattr(dataset, "root", None)
    if not isinstance(root, Path) or not hasattr(dataset, "folders"):
        raise UsageError(f"the data of {recipe} have no folder to inspect; `ganforge data show {recipe}` draws some")
    kind = getattr(getattr(dataset, "folders", None), "kind", None)
    found = read_layout(root, kind) if kind and root.is_dir() else root
    side = max((min(shape[1:]) for shape in dataset.shapes().values() if len(shape) == 3), default=256)
    return found, side, Told(getattr(dataset, "storage_of", None), getattr(dataset, "framing", None))


@command.command()
@click.argument("root", type=PATH)
@click.option("-o", "--output", required=True, type=PATH, help="The folder of the shards.")
@click.option(
    "--layout",
    type=click.Choice(("unpaired", "side_by_side", "two_folders", "one_folder", "classes")),
    help="What ROOT holds: trainA and trainB that do not correspond; train with pairs side by side; trainA and "
    "trainB with pairs of equal names; pictures, or train and val or test; or a folder for each class.  "
    "[default: unpaired, or side_by_side where there is train]",
)
@click.option(
    "--shard-mib", type=click.IntRange(1), default=256, show_default=True, help="The size that a shard keeps to."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of training samples in the pack.")
@click.option("--force", is_flag=True, help="Replace a pack that is there.")
def pack(root: Path, output: Path, layout: str | None, shard_mib: int, seed: int, force: bool) -> None:
    """Pack the pictures of ROOT into tar shards.

    A few large files, for data that a file system or a network does not like as millions of small ones; and shards at
    a URL may be more than a disk holds. Files go in as they are, each decoded once to find broken ones. Training
    samples are shuffled, so that each shard is a fair sample. If it is interrupted, the same command goes on.

    \b
    Examples:
      ganforge data pack datasets/horse2zebra -o packs/horse2zebra
      ganforge data pack my_pairs -o packs/my_pairs --layout two_folders --shard-mib 1024
    """
    from ganforge.builtin.datasets.inspection.report import counted
    from ganforge.builtin.datasets.shards.drafts import drafts_of, find_layout, remarks
    from ganforge.builtin.datasets.shards.index import TYPES
    from ganforge.builtin.datasets.shards.packing import pack as write

    found = find_layout(root, layout)
    drafts = drafts_of(root, found, seed, shard_mib << 20)
    for remark in remarks(root, found):
        click.echo(remark)
    with _bar("packing", sum(draft.bytes for draft in drafts)) as tell:
        index = write(root, drafts, found, seed, output, force, tell)
    for split, shards in index.splits.items():
        size_mib = sum(shard.bytes for shard in shards) / 2**20
        counts = f"{counted(index.samples(split), 'sample')}, {counted(len(shards), 'shard')}"
        click.echo(f"{split}: {counts}, {size_mib:,.1f} MiB")
    click.echo(f"packed: data.type={TYPES[found]} data.root={output}")


@command.command()
@click.argument("pack", type=PATH)
def verify(pack: Path) -> None:
    """Read all shards of PACK again, and compare them with the index.

    \b
    Example:
      ganforge data verify packs/horse2zebra
    """
    from ganforge.builtin.datasets.inspection.report import counted
    from ganforge.builtin.datasets.shards.store import Local
    from ganforge.builtin.datasets.shards.store import verify as read

    shards = Local(pack).index().shards
    with _bar("verifying", sum(shard.bytes for shard in shards)) as tell:
        damaged = read(pack, tell)
    for damage in damaged:
        click.echo(f"{damage.shard}: {damage.reason}")
    if damaged:
        message = f"of {counted(len(shards), 'shard')} of {pack}, {len(damaged)} damaged"
        raise EnvironmentFault(message, "copy those again, or pack anew")
    click.echo(f"{counted(len(shards), 'shard')}, as packed")


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how many bytes more are done."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    text = TextColumn("{task.description}")
    with progress(text, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bars:
        task = bars.add_task(what, total=total)
        yield lambda more: bars.advance(task, more)
