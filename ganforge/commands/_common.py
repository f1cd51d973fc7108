"""What several commands share: loading plugins with their warnings, opening recipes, bars and wide text."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

    from ganforge.errors import Problem
    from ganforge.plugins.loading import Plugins
    from ganforge.recipe.model import Recipe


def plugins_with_warnings(files: Iterable[Path] = ()) -> Plugins:
    """Load all plugins; say on standard error which ones are broken."""
    from ganforge.plugins.loading import load_plugins

    plugins = load_plugins(list(files))
    for plugin in plugins.broken:
        warn(f"plugin '{plugin.name}' ({plugin.origin}) could not be loaded: {plugin.reason}")
        if plugin.traceback:
            click.echo("  `ganforge plugins` shows where it failed", err=True)
    return plugins


def opened(given: str, overrides: Sequence[str], plugins: Plugins) -> Recipe:
    """A recipe, or that of a run, a checkpoint or a bundle, with overrides."""
    from ganforge.recipe import open_recipe
    from ganforge.sharing.locate import recipe_in

    return open_recipe(recipe_in(given), overrides, plugins.registry)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    click.secho("warning: ", fg="yellow", bold=True, nl=False, err=True)
    click.echo(text, err=True)


def warn_of(problems: Iterable[Problem]) -> None:
    """Print a recipe's warnings."""
    for problem in problems:
        warn(str(problem))


def wide_console(width: int = 200, **options: bool) -> Console:
    """A console for standard output. A pipe has no width to wrap at: there it is this wide."""
    from rich.console import Console

    console = Console(highlight=False, **options)  # type: ignore[arg-type]
    if not console.is_terminal:
        console.width = width
    return console


@contextmanager
def progress(*columns: ProgressColumn) -> Iterator[Progress]:
    """Bars on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


@contextmanager
def bar(what: str, total: int | None = None, before: int = 0) -> Iterator[Callable[..., None]]:
    """A bar on a terminal; yields a function that is told how much is done, and of how much if that is new."""
    with progress() as bars:
        task = bars.add_task(what, total=total, completed=before)
        yield lambda done, total=None: bars.update(task, completed=before + done, total=total)


def paragraph(head: str, text: str) -> str:
    """A text behind a head, wrapped at the width of the terminal; where there is none, one line to search in."""
    columns = shutil.get_terminal_size(fallback=(10_000, 24)).columns
    return textwrap.fill(
        text,
        max(columns, len(head) + 30),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def printable(text: str) -> str:
    """The text without what is not printable: files may hold anything, a terminal's commands too."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
