"""`ganforge parts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands._common import paragraph, plugins_with_warnings
from ganforge.commands._options import plugin_option
from ganforge.errors import UsageError, suggest

if TYPE_CHECKING:
    from ganforge.plugins.loading import Plugins
    from ganforge.plugins.registry import Part, Registry


@click.command()
@click.argument("what", required=False, metavar="[KIND|NAME]")
@plugin_option
def command(what: str | None, files: tuple[Path, ...]) -> None:
    """List all parts, those of one KIND, or explain the part NAME: its options, inputs and an example to paste.

    \b
    Examples:
      ganforge parts
      ganforge parts losses
      ganforge parts cyclegan.resnet_generator
    """
    from ganforge.plugins.registry import KINDS_IN_RECIPES

    plugins = plugins_with_warnings(files)
    parts = [part for part in plugins.registry.parts.values() if part.kind in KINDS_IN_RECIPES]
    if what is None or what in KINDS_IN_RECIPES:
        for kind in KINDS_IN_RECIPES if what is None else (what,):
            _list(plugins.registry, kind)
        return
    found = [part for part in parts if what in (part.name, part.full_name)]
    if not found:
        known = {name for part in parts for name in (part.name, part.full_name)} | set(KINDS_IN_RECIPES)
        raise UsageError(f"no part or kind '{what}'; {suggest(what, known)}")
    for part in found:
        _explain(part, plugins)


def _list(registry: Registry, kind: str) -> None:
    click.secho(kind, bold=True)
    parts = list(registry.of(kind))
    width = max((len(part.full_name) for part in parts), default=0)
    for part in parts:
        click.echo(paragraph(f"  {part.full_name:{width}}  ", part.summary))


def _explain(part: Part, plugins: Plugins) -> None:
    from ganforge.plugins.registry import RESERVED, SINGULAR
    from ganforge.recipe.examples import called, example

    origin = next(plugin.origin for plugin in plugins.found if plugin.name == part.plugin)
    click.secho(part.full_name, bold=True, nl=False)
    click.echo(f"  {SINGULAR[part.kind]}, {origin}\n")
    for block in filter(None, part.doc.split("\n\n")):
        click.echo(f"{paragraph('  ', ' '.join(block.split()))}\n")
    signature = part.signature
    if call := called(part):
        click.echo(f"  In expressions: {call}\n")
    for title, parameters in (("inputs, bound to expressions", signature.inputs), ("options", signature.options)):
        if parameters:
            click.secho(f"  {title}", bold=True)
            for parameter in parameters:
                click.echo(f"    {parameter}" + ("  (required)" if parameter.required else ""))
                if text := part.explanations.get(parameter.name):
                    click.echo(paragraph(" " * 8, text))
            click.echo()
    if own := RESERVED.get(part.kind):
        click.echo(f"  Every {SINGULAR[part.kind]} also takes: {', '.join(own)}.\n")
    click.secho("  example", bold=True)
    click.echo("".join(f"    {line}\n" for line in example(part).splitlines()))
