"""`ganforge cp`."""

from __future__ import annotations

from pathlib import Path

import click

from ganforge.commands._common import plugins_with_warnings
from ganforge.commands._options import PATH
from ganforge.errors import UsageError


@click.command()
@click.argument("recipe")
@click.argument("destination", type=PATH, default=Path())
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(recipe: str, destination: Path, force: bool) -> None:
    """Copy RECIPE to DESTINATION, a file or a folder, to make it yours. What it extends must come along or be shipped.

    \b
    Examples:
      ganforge cp cyclegan_horse2zebra my_recipe.yaml
      ganforge cp cyclegan_shapes recipes/
    """
    from ganforge.recipe import find_recipe
    from ganforge.sharing.locate import recipe_in

    source = find_recipe(recipe_in(recipe), plugins_with_warnings().registry)
    target = destination / source.name if destination.is_dir() else destination
    if target.exists() and not force:
        raise UsageError(f"{target} exists; choose another name, or replace it with --force")
    try:
        target.write_bytes(source.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
    click.echo(f"copied to {target}; run it with: ganforge run {target}")
    schema = target.with_name("ganforge.schema.json")
    if not schema.exists():
        click.echo(f"an editor completes and checks it with the schema beside it: ganforge schema -o {schema}")
