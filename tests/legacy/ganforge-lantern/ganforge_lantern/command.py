"""`ganforge lamps`."""

from __future__ import annotations

import click

from ganforge import UsageError


@click.command()
@click.argument("count", type=int)
def lamps(count: int) -> None:
    """Light COUNT lamps."""
    if count < 1:
        raise UsageError("no lamp to light; give a number: ganforge lamps 3")
    click.echo("*" * count)
