"""`ganforge parts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands.common import plugin_option, plugins_with_warnings
from ganforge.errors import UsageError, suggest

if TYPE_CHECKING:
    from ganforge.registry import Part, Registry


@click.command()
@click.argument("what", required=False, metavar="[KIND|NAME]")
@plugin_option
def command(what: str | None, files: tuple[Path, ...]) -> None:
    """List all parts, those of one KIND, or explain the part NAME: its options, inputs, docstring and an example.

    \b
    Examples:
      ganforge parts
      ganforge parts losses
      ganforge parts cyclegan.resnet_generator
    """
    from ganforge.registry import KINDS

    registry = plugins_with_warnings(files).registry
    kinds = [kind for kind in KINDS if kind != "recipes"]
    if what is None or what in kinds:
        for kind in kinds if what is None else [what]:
            _list(registry, kind)
        return
    found = [part for part in registry.parts.values() if part.kind != "recipes" and what in (part.name, part.full_name)]
    if not found:
        known = {name for part in registry.parts.values() for name in (part.name, part.full_name)} | set(kinds)
        raise UsageError(f"no part or kind '{what}'; {suggest(what, known)}")
    for part in found:
        _explain(part)


def _list(registry: Registry, kind: str) -> None:
    click.secho(kind, bold=True)
    parts = list(registry.of(kind))
    width = max((len(part.full_name) for part in parts), default=0)
    for part in parts:
        click.echo(f"  {part.full_name:{width}}  {part.summary}")


def _explain(part: Part) -> None:
    click.secho(part.full_name, bold=True, nl=False)
    click.echo(f"  ({part.kind})\n")
    click.echo("".join(f"  {line}\n" if line else "\n" for line in part.doc.splitlines()))
    for title, parameters in (
        ("inputs, bound to expressions", part.signature.inputs),
        ("options", part.signature.options),
    ):
        if parameters:
            click.echo(f"  {title}:")
            for parameter in parameters:
                click.echo(f"    {parameter}" + ("" if not parameter.required else "  (required)"))
    click.echo(f"\n  example:\n    {example(part)}\n")


def example(part: Part) -> str:
    """A line to paste into a recipe, with what must be given and a first option or two."""
    signature = part.signature
    entries = [f"{p.name}: some_signal" for p in signature.inputs if p.required]
    entries += [f"{p.name}: ..." for p in signature.options if p.required]
    entries += [
        f"{str(p).partition(':')[0]}: {str(p).rpartition(' = ')[2]}" for p in signature.options if not p.required
    ][:2]
    return f"{{{', '.join((f'type: {part.name}', *entries))}}}"
