"""Timing side by side: every contender in turn, round after round, so that what else the machine does weighs on all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from rich.console import Console
from rich.table import Table


def wait() -> None:
    """Until a GPU has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Seconds that some work takes, the mean of so many times in a row."""
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    wait()
    return (time.perf_counter() - start) / repeats


def side_by_side(
    contenders: Mapping[str, Callable[[], object]], rounds: int, repeats: int = 1, warm_up: int = 1
) -> list[dict[str, float]]:
    """Seconds of each contender in each round; the rounds to warm up do not count."""
    for work in contenders.values():
        for _ in range(warm_up):
            work()
    return [{name: seconds(work, repeats) for name, work in contenders.items()} for _ in range(rounds)]


def show(
    title: str, times: list[dict[str, float]], notes: Mapping[str, str] | None = None, rate: str | None = None
) -> None:
    """A table: milliseconds, and how many times faster than the first one; ratios are taken within a round.

    Args:
        title: what takes the seconds.
        times: the seconds, by contender, of each round.
        notes: what else to say of a contender.
        rate: count so many a second, by this name, instead of milliseconds.
    """
    first = next(iter(times[0]))
    table = Table(title, rate or "median ms", "times faster", "lowest to highest", *(["", ""][: bool(notes)]))
    for name in times[0]:
        ratios = [each[first] / each[name] for each in times]
        seconds = statistics.median(each[name] for each in times)
        median = 1 / seconds if rate else seconds * 1e3
        row = [
            name,
            f"{median:,.0f}" if median >= 100 else f"{median:.3g}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
        ]
        table.add_row(*row, *([notes.get(name, "")] if notes else []))
    Console(width=None if Console().is_terminal else 140).print(table)
