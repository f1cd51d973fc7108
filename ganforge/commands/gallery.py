"""`ganforge gallery`."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Show a run as a web page.

    \b
    Example:
      ganforge gallery runs/cyclegan_shapes/0001
    """
