"""The command line. Commands are imported when they are called: `--help` answers without torch."""

from __future__ import annotations

import atexit
import importlib
import io
import keyword
import os
import sys
import warnings
from typing import Any

import click

from ganforge._version import __version__
from ganforge.errors import GanforgeError

SECTIONS = {
    "Recipes": {
        "run": "Train a recipe, or go on with a run.",
        "check": "Check a recipe without running it.",
        "bench": "Measure how fast a recipe trains here.",
        "show": "Show a recipe resolved, or its dataflow.",
        "ls": "List the recipes at hand.",
        "cp": "Copy a recipe to make it yours.",
        "schema": "Write the schema by which editors complete recipes.",
        "data": "Download datasets, find their faults, look at samples.",
    },
    "Runs": {
        "board": "Open TensorBoard on runs.",
        "runs": "List and compare runs.",
        "evaluate": "Judge a trained run by metrics.",
        "translate": "Translate pictures with a trained run.",
        "gallery": "Show a run as a web page.",
        "bundle": "Pack a run into one file.",
        "export": "Export a network to ONNX, torch.export or the hub.",
        "import": "Make a run of a public checkpoint.",
    },
    "Plugins": {
        "new": "Start a plugin.",
        "plugins": "List the plugins and their state.",
        "parts": "List parts, or explain one.",
    },
}
COMMANDS = {name: text for section in SECTIONS.values() for name, text in section.items()}


class Commands(click.Group):
    """Commands by name; plugins' commands are looked for only where no built-in one has the name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            module = f"{name}_" if keyword.iskeyword(name) else name
            return importlib.import_module(f"ganforge.commands.{module}").command
        return super().get_command(ctx, name) or self._of_plugins(ctx, name)

    def _of_plugins(self, ctx: click.Context, name: str) -> click.Command | None:
        from ganforge.commands._common import plugins_with_warnings

        plugins_with_warnings().manager.hook.register_commands(cli=self)
        return super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ganforge")
def cli() -> None:
    """Train GANs from recipes; plugins supply the parts.

    \b
    Examples:
      ganforge run cyclegan_shapes
      ganforge run recipes/cyclegan_horse2zebra.yaml data.batch_size=4
      ganforge check my_recipe.yaml
      ganforge parts losses
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 well, 2 recipe or usage, 3 environment, 4 training failed, 75 another rank
    was lost, 128 + a signal."""
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text, nor terminals know all of it
    try:
        code: Any = cli.main(arguments, prog_name="ganforge", standalone_mode=False)
    except GanforgeError as error:
        _tell_error(str(error) if error.instead is None else error.instead)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except SystemExit as leaving:
        told = _told(leaving)
        if told is None and isinstance(leaving.code, str):
            raise  # Python prints it
        code = leaving.code if told is None else told
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:
        # The reader of our output has gone; nothing is wrong, and Python must not complain at its own end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except BaseException as error:
        if os.environ.get("GANFORGE_DEBUG"):
            raise
        code = _told(error) or _told_badly(error)
    code = code if isinstance(code, int) else 0
    if "RANK" in os.environ:
        # Threads of torch's exchanges may abort a process that Python takes apart: a rank that is done only goes.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _told(error: BaseException) -> int | None:
    """Tell what a plugin did, or what the machine has run out of, and give the exit code; None for anything else."""
    if os.environ.get("GANFORGE_DEBUG"):
        return None
    from ganforge.failures.blame import told

    known = told(error)
    if known is None:
        return None
    _tell_error(str(known))
    return known.exit_code


def _told_badly(error: BaseException) -> int:
    """Tell an error that nobody expected, and give the exit code."""
    from ganforge.failures.words import said

    _tell_error(said(error))
    click.echo(
        "  this should have been told better: GANFORGE_DEBUG=1 shows where it happened; please report it", err=True
    )
    return 1


def _tell_error(message: str) -> None:
    if message:
        click.secho("error: ", fg="red", bold=True, nl=False, err=True)
        click.echo(message, err=True)


def _show_warning(message: Warning | str, *_where: object, **_more: object) -> None:
    """Python's own form quotes a line of our code, which helps nobody who trains."""
    click.secho("warning: ", fg="yellow", bold=True, nl=False, err=True)
    click.echo(str(message), err=True)
