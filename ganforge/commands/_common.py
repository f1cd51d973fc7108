"""What several commands share: their arguments, and loading plugins with their warnings."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from ganforge.errors import Problem
    from ganforge.plugins.loading import Plugins

F = TypeVar("F", bound=Callable[..., Any])


def plugin_option(command: F) -> F:
    """The option for plain files that are plugins: `-p my_losses.py`."""
    return click.option(
        "-p",
        "--plugin",
        "files",
        multiple=True,
        type=click.Path(dir_okay=False, path_type=Path),
        help="A plain Python file to load as a plugin; may be given several times.",
    )(command)


def precision_option(command: F) -> F:
    """`--precision` of commands that use trained networks."""
    return click.option(
        "--precision",
        type=click.Choice(["auto", "fp64", "fp32", "tf32", "bf16", "fp16"]),
        default="auto",
        show_default=True,
        help="What the networks compute in; auto is what they were trained in, where this device is fast in it.",
    )(command)


def recipe_arguments(command: F) -> F:
    """The arguments of a recipe and its overrides."""
    command = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")(command)
    return click.argument("recipe", metavar="RECIPE")(command)


def plugins_with_warnings(files: Iterable[Path] = ()) -> Plugins:
    """Load all plugins; say on standard error which ones are broken."""
    from ganforge.plugins.loading import load_plugins

    plugins = load_plugins(list(files))
    for plugin in plugins.broken:
        warn(f"plugin '{plugin.name}' ({plugin.origin}) could not be loaded: {plugin.reason}")
        if plugin.traceback:
            click.echo("  `ganforge plugins` shows where it failed", err=True)
    return plugins


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
def bar(what: str, total: int | None = None, before: int = 0) -> Iterator[Callable[..., None]]:
    """A bar on a terminal; yields a function that is told how much is done, and of how much if that is new."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total, completed=before)
        yield lambda done, total=None: progress.update(task, completed=before + done, total=total)


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
