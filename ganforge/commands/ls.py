"""`ganforge ls`."""

from __future__ import annotations

from pathlib import Path

import click

from ganforge.commands._common import plugins_with_warnings


@click.command()
def command() -> None:
    """List the recipes at hand: those that plugins bring, and those under ./recipes.

    \b
    Example:
      ganforge ls
    """
    registry = plugins_with_warnings().registry
    shipped = [(part.name, part.plugin, Path(str(part.factory))) for part in registry.of("recipes")]
    names = {name for name, _, _ in shipped}
    own = [(str(path), "", path) for path in sorted(Path("recipes").glob("*.yaml")) if path.stem not in names]
    rows = [*shipped, *own]
    if not rows:
        click.echo("no recipes: install a plugin that brings some, such as ganforge-cyclegan")
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, plugin, path in rows:
        click.echo(f"{name:{width}}  {title(path)}" + (f"  [{plugin}]" if plugin else ""))


def title(path: Path) -> str:
    """A recipe's first comment line: what it is."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
