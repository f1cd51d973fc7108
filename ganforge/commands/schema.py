"""`ganforge schema`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ganforge.commands._common import plugins_with_warnings
from ganforge.commands._options import FILE, plugin_option
from ganforge.errors import UsageError


@click.command()
@click.option("-o", "--output", type=FILE, help="The file to write.")
@plugin_option
def command(output: Path | None, files: tuple[Path, ...]) -> None:
    """Print a JSON Schema of recipes with the plugins at hand: an editor completes and checks recipes by it.

    \b
    Examples:
      ganforge schema -o ganforge.schema.json
      ganforge schema -o recipes/ganforge.schema.json -p my_losses.py
    """
    from ganforge.recipe.schema import recipe_schema

    text = json.dumps(recipe_schema(plugins_with_warnings(files).registry), indent=1) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"wrote {output}; a recipe beside it names it in its second line:")
    click.echo(f"# yaml-language-server: $schema={output.name}")
