"""`ganforge data`."""

from __future__ import annotations

from pathlib import Path

import click

from ganforge.commands.common import plugin_option, plugins_with_warnings, recipe_arguments
from ganforge.errors import UsageError


@click.group()
def command() -> None:
    """Download published datasets, and look at what training will see.

    \b
    Examples:
      ganforge data ls
      ganforge data download horse2zebra
      ganforge data show my_recipe.yaml -o samples.png
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
@click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), help="Where to put it.  [default: datasets/NAME]"
)
def download(name: str, root: Path | None) -> None:
    """Download the dataset NAME: resumable, checked against its published hash, whole or not at all.

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
    """Count RECIPE's samples, and draw some as training sees them: cropped, flipped, paired.

    \b
    Example:
      ganforge data show cyclegan_shapes -o samples.png
    """
    import random

    from ganforge import images
    from ganforge.engine.cast import derive_seed
    from ganforge.recipe import open_recipe

    checked = open_recipe(recipe, overrides, plugins_with_warnings(files).registry)
    checked.dataset.prepare()
    train, validation = checked.dataset.train(), checked.dataset.validation()
    click.echo(f"training samples: {len(train)}")
    click.echo(
        f"validation samples: {len(validation) if validation else 'none: panels and metrics use training samples'}"
    )
    for name, shape in checked.dataset.shapes().items():
        click.echo(f"  {name}: {list(shape)}")
    names = [name for name, shape in checked.dataset.shapes().items() if len(shape) == 3]
    if not names:
        click.echo("no field is an image: nothing is drawn")
        return
    samples = [
        train.sample(index, random.Random(derive_seed(checked.run.seed, "sample", 0, index)))
        for index in range(min(count, len(train)))
    ]
    rows = [[images.to_uint8(sample[name]).expand(3, -1, -1) for name in names] for sample in samples]
    images.write_image(output, images.label_grid(rows, names))
    click.echo(f"drawn: {output}")
