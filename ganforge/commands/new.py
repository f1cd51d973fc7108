"""`ganforge new`."""

from __future__ import annotations

from pathlib import Path

import click

from ganforge.commands._options import FOLDER

KINDS = ("losses", "networks", "ops", "datasets", "augmentations", "callbacks")


@click.command()
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(KINDS), help="What it brings.  [default: what NAME ends with, as my-ops; else losses]"
)
@click.option("--into", type=FOLDER, default=Path(), help="The folder to put it in.  [default: the working directory]")
def command(name: str, kind: str | None, into: Path) -> None:
    """Start a plugin: a package NAME with one part, its tests, and a recipe that uses it.

    Its own tests pass as it stands; change it from there.

    \b
    Examples:
      ganforge new my-losses
      ganforge new my-networks
      ganforge new perceptual --kind losses --into plugins
    """
    from ganforge.plugins.scaffold import make_plugin

    kind = kind or next((k for k in KINDS if name.endswith(k)), "losses")
    plugin = make_plugin(name, kind, into)
    width = max(len(str(path)) for path in plugin.files)
    click.secho(f"made {plugin.folder}", bold=True)
    for path, what in plugin.files.items():
        click.echo(f"  {path!s:{width}}  {what}".rstrip())
    click.secho("next", bold=True)
    for line in (f"cd {plugin.folder}", "uv sync", "uv run pytest", f"uv run ganforge run {plugin.package}"):
        click.echo(f"  {line}")
    click.echo(f"without uv: pip install -e {plugin.folder} ganforge-cyclegan pytest")
