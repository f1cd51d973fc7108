"""`ganforge bench`."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganforge.commands._common import opened, paragraph, plugins_with_warnings, warn_of, wide_console
from ganforge.commands._options import plugin_option, recipe_arguments

if TYPE_CHECKING:
    from rich.table import Table

    from ganforge.bench import Bench, Length, Timing


@click.command()
@recipe_arguments
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Steps to measure. By default 20, or as many as a minute has; whole cycles where a phase or loss has `every`.",
)
@click.option(
    "--warm-up",
    type=click.IntRange(min=1),
    help="Steps before them, which do not count. By default 3, or until CUDA graphs are recorded.",
)
@click.option(
    "--no-data", is_flag=True, help="Take random batches of the recipe's shapes: nothing is read or downloaded."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: seconds, FLOPs, GiB.")
@plugin_option
def command(
    recipe: str,
    overrides: tuple[str, ...],
    steps: int | None,
    warm_up: int | None,
    no_data: bool,
    as_json: bool,
    files: tuple[Path, ...],
) -> None:
    """Measure how fast RECIPE trains on this machine: each phase, the data, what the machine reaches at best, and the
    hours that the whole recipe takes.

    \b
    Examples:
      ganforge bench cyclegan_shapes
      ganforge bench cyclegan_horse2zebra --no-data data.batch_size=4
      ganforge bench my_recipe.yaml -p my_losses.py --steps 100 --json

    It trains a few steps in a temporary folder and leaves nothing behind. Ctrl-C ends it with what was measured.
    """
    began = time.perf_counter()
    from ganforge.bench import bench

    plugins = plugins_with_warnings(files)
    checked = opened(recipe, overrides, plugins)
    warn_of(checked.warnings)
    with _telling() as tell:
        measured = bench(checked, plugins.registry, steps, warm_up, no_data, began, tell)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(measured), indent=2))
    else:
        _show(measured)
    if measured.stop_signal is not None:
        sys.exit(128 + measured.stop_signal)


@contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being measured."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    status = console.status("", refresh_per_second=1)  # seldom: it should not slow down what is measured

    def tell(text: str) -> None:
        status.update(text)
        status.start()  # not before: a download has a bar of its own

    try:
        yield tell
    finally:
        status.stop()


def _show(measured: Bench) -> None:
    console = wide_console(markup=False)
    console.print(f"{measured.recipe} on {_device(measured)}, {measured.precision}", style="bold")
    console.print(f"{_measured(measured)}\n")
    console.print(_timings(measured))
    console.print()
    rows = list(_rows(measured))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.secho(paragraph(f"{name:{width}}   ", text), bold=name == "verdict")


def _device(measured: Bench) -> str:
    return f"cpu with {_count(measured.threads, 'thread')}" if measured.device == "cpu" else measured.device


def _measured(measured: Bench) -> str:
    """What the numbers were measured on: steps, images and data."""
    begin = "interrupted: " if measured.stop_signal else ""
    steps = f"{_count(measured.steps, 'step')} of {_count(measured.images_per_step, 'image')}"
    data = " (random batches)" if measured.data_wait is None else ""
    part = measured.steps % measured.cycle
    cycle = f"; its phases repeat after {measured.cycle}: a multiple of that would be exact" if part else ""
    return f"{begin}{steps}{data}, after {measured.warm_up} to warm up{cycle}"


def _timings(measured: Bench) -> Table:
    """A row for each part of a step, and one for the whole; a column has one unit, to be read down."""
    from rich.table import Table

    unit, scale = ("ms", 1e3) if measured.step.seconds.median < 10 else ("s", 1.0)
    work, size = ("TFLOP", 1e12) if (measured.step.flops or 0) >= 1e12 else ("GFLOP", 1e9)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    for head in (f"median\n{unit}", f"fastest\n{unit}", f"slowest\n{unit}", "share of\nthe time"):
        table.add_column(head, justify="right")
    for head in (f"work\n{work}", f"speed\n{work}/s", "share of\nthe peak"):
        table.add_column(head, justify="right")

    def add(name: str, timing: Timing, style: str | None = None) -> None:
        spread = timing.seconds
        seconds = [_short(value * scale) for value in (spread.median, spread.fastest, spread.slowest)]
        flops = ["" if value is None else _short(value / size) for value in (timing.flops, timing.flops_per_second)]
        peak = "" if timing.share_of_peak is None else _percent(timing.share_of_peak)
        table.add_row(name, *seconds, _percent(timing.share_of_step), *flops, peak, style=style)

    if measured.data_wait is not None:
        add("data wait", measured.data_wait)
    for name, timing in measured.phases.items():
        add(name, timing)
    add("whole step", measured.step, "bold")
    return table


def _rows(measured: Bench) -> Iterator[tuple[str, str]]:
    yield "speed", f"{_short(measured.images_per_second)} images per second"
    if measured.peak is not None:
        product, convolution = (_flop_rate(rate) for rate in (measured.peak.matrix_product, measured.peak.convolution))
        yield "the machine's peak", f"{product} in a large matrix product, {convolution} in a large convolution"
    yield "peak memory", f"{_short(measured.peak_memory_gib)} GiB"
    yield "start-up", f"{_seconds(measured.startup_s)} to the end of the first step"
    yield "the whole recipe", _length(measured.length)
    if measured.levers:
        yield "levers", measured.levers
    if measured.why:
        yield "precision", f"{measured.precision}: {measured.why}"
    for line in measured.tried:
        yield "tried", line
    if measured.verdict:
        yield "verdict", measured.verdict


def _length(length: Length | None) -> str:
    if length is None:
        return "unknown: only the data says how many steps an epoch has; give run.steps"
    parts = [f"{length.steps:,} steps x {_seconds(length.seconds_per_step)} on average"]
    parts += [f"{name} {extra.count:,} x {_seconds(extra.seconds)}" for name, extra in length.extras.items()]
    without = f"; without {', '.join(length.left_out)}" if length.left_out else ""
    return f"{_duration(length.hours)}: {', '.join(parts)}{without}"


def _duration(hours: float) -> str:
    for size, unit in ((24.0, "days"), (1.0, "hours"), (1 / 60, "minutes")):
        if hours >= 2 * size:
            return f"{_short(hours / size)} {unit}"
    return f"{_short(hours * 3600)} seconds"


def _seconds(seconds: float) -> str:
    return f"{_short(seconds)} s" if seconds >= 1 else f"{_short(seconds * 1000)} ms"


def _flop_rate(rate: float) -> str:
    return f"{_short(rate / 1e12)} TFLOP/s" if rate >= 1e12 else f"{_short(rate / 1e9)} GFLOP/s"


def _short(value: float) -> str:
    """Three digits, and never an exponent for what is large."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.0995 else f"{share:.1%}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
