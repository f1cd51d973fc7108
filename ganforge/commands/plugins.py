"""`ganforge plugins`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from ganforge.commands.common import plugin_option


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the traceback of broken plugins.")
@plugin_option
def command(as_json: bool, files: tuple[Path, ...]) -> None:
    """List the plugins: name, package, state, and what they bring; broken ones with the reason.

    \b
    Examples:
      ganforge plugins
      ganforge plugins --json
    """
    from ganforge.plugins import load_plugins

    found = load_plugins(list(files)).found
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(plugin) | {"state": plugin.state} for plugin in found], indent=2))
        return
    for plugin in found:
        click.secho(plugin.name, bold=True, nl=False)
        click.echo(f"  {plugin.origin}  {plugin.state}")
        kinds: dict[str, list[str]] = {}
        for part in plugin.parts:
            kind, name = part.split(": ")
            kinds.setdefault(kind, []).append(name)
        for kind, names in kinds.items():
            click.echo(f"  {kind}: {', '.join(names)}")
        if plugin.reason:
            click.echo(f"  {plugin.reason}")
            click.echo("".join(f"    {line}\n" for line in plugin.traceback.splitlines()), nl=False)
