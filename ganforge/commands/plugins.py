"""`ganforge plugins`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands._common import paragraph
from ganforge.commands._options import plugin_option

if TYPE_CHECKING:
    from ganforge.plugins.loading import Plugin

KEYS = ("name", "distribution", "version", "state", "reason", "traceback", "hooks", "parts", "notes")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the traceback of broken plugins.")
@plugin_option
def command(as_json: bool, files: tuple[Path, ...]) -> None:
    """List the plugins: name, distribution, state, hooks and what they bring; last the broken ones, with the reason.

    \b
    Examples:
      ganforge plugins
      ganforge plugins --json
    """
    from ganforge.plugins.loading import load_plugins

    found = load_plugins(list(files)).found
    if as_json:
        click.echo(json.dumps([{key: getattr(plugin, key) for key in KEYS} for plugin in found], indent=2))
        return
    width = max(len(hook) for plugin in found for hook in plugin.hooks)
    for plugin in sorted(found, key=lambda plugin: plugin.state == "broken"):
        _show(plugin, width)


def _show(plugin: Plugin, width: int) -> None:
    click.secho(plugin.name, bold=True, nl=False)
    click.echo(f"  {plugin.origin}  ", nl=False)
    click.secho(plugin.state, fg="red" if plugin.reason else "green")
    for hook in plugin.hooks:
        names = plugin.parts.get(hook.removeprefix("register_"), ["nothing"])
        click.echo(paragraph(f"  {hook:{width}}  ", ", ".join(names)))
    if plugin.reason:
        click.echo(paragraph("  ", plugin.reason))
    for file, line in re.findall(r'File "(.+)", line (\d+)', plugin.traceback)[-1:]:
        click.echo(f"  in {file}, line {line}\n  `ganforge plugins --json` has the traceback")
    for note in plugin.notes:
        click.secho("  note: ", fg="yellow", nl=False)
        click.echo(paragraph("        ", note).lstrip())
