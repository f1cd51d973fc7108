"""`ganforge evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganforge.commands._common import plugins_with_warnings, progress, warn, wide_console
from ganforge.commands._options import FOLDER, PATH, overrides_argument, plugin_option, precision_option
from ganforge.errors import EnvironmentFault

if TYPE_CHECKING:
    from rich.progress import TaskID


@click.command()
@click.argument("run", type=PATH)
@overrides_argument
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="A metric beside those of the recipe, for every direction: fid, kid, precision_recall, and where the truth is "
    "known lpips, ssim, psnr, absolute_error; may be given several times.",
)
@click.option(
    "--features", default="inception", show_default=True, help="The op that fid, kid and the like look through."
)
@click.option("--all", "every_checkpoint", is_flag=True, help="Judge every checkpoint that is left.")
@click.option("--best", metavar="METRIC", help="Judge the checkpoint that was the best of a metric, alone.")
@click.option("--raw", is_flag=True, help="Judge the raw weights though the run has averaged ones (EMA).")
@click.option("--device", default="auto", show_default=True)
@precision_option
@click.option("-o", "--output", type=FOLDER, help="A folder for the card.  [default: the run's]")
@plugin_option
def command(
    run: Path,
    overrides: tuple[str, ...],
    metrics: tuple[str, ...],
    features: str,
    raw: bool,
    output: Path | None,
    files: tuple[Path, ...],
    **how: Any,
) -> None:
    """Judge RUN, a run's folder, one of its checkpoints or a bundle, by metrics over its validation samples.

    Of a run the last checkpoint is judged, and those that were the best of a metric while it trained. The figures and
    all that they depend on are written as evaluation.md and evaluation.json.

    \b
    Examples:
      ganforge evaluate runs/cyclegan_shapes/0001
      ganforge evaluate runs/cyclegan_horse2zebra/0001 --metric fid --metric kid
      ganforge evaluate runs/x/0001 --metric kid --features my_plugin.features --all
      ganforge evaluate runs/x/0001 --metric fid --best kid_b
      ganforge evaluate runs/x/0001 data.root=elsewhere --metric fid -o judged
    """
    from ganforge.evaluation import Asked, evaluate
    from ganforge.evaluation.card import markdown
    from ganforge.sharing.bundle.unpacking import is_bundle
    from ganforge.sharing.locate import run_in

    plugins = plugins_with_warnings(files)
    if is_bundle(run):
        output = output or Path(f"{run.name.partition('.')[0]}_evaluation")
        run = run_in(run, plugins.registry)
    with _progress() as watch:
        asked = Asked(metrics, features)
        card = evaluate(run, plugins.registry, asked, overrides=overrides, averaged=not raw, watch=watch, **how)
    folder = output or (run.resolve().parent.parent if (run / "manifest.json").is_file() else run)
    _write(folder, card, markdown(card))
    _print(card)
    click.echo(f"the card is in {folder / 'evaluation.md'}, and as data beside it")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    tasks: dict[str, TaskID] = {}
    with progress() as bar:

        def watch(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield watch


def _write(folder: Path, card: Mapping[str, Any], text: str) -> None:
    from ganforge.core.files import write_text

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "evaluation.json", json.dumps(card, indent=2) + "\n")
        write_text(folder / "evaluation.md", text)
    except OSError as error:
        raise EnvironmentFault(
            f"the card cannot be written to {folder}: {error}; give another folder with -o"
        ) from error


def _print(card: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ganforge.evaluation.card import facts, heads, rows, warnings

    console = wide_console(400, markup=False, emoji=False, soft_wrap=True)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for head in ("figure", *heads(card)):
        table.add_column(head, no_wrap=True)
    for name, values, best in rows(card):
        several = len(values) > 1
        shown = [f"{value} best" if several and column == best else value for column, value in enumerate(values)]
        table.add_row(name, *map(Text, shown))
    console.print(table)
    for line in facts(card):
        console.print(f"  {line}", style="dim")
    for line in warnings(card):
        warn(line)
