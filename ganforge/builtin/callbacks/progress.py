"""How far a run is: a bar on a terminal, lines where the output goes to a file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import Field
from rich import progress as rich_progress
from rich.console import Console, RenderableType
from rich.text import Text

from ganforge import Callback, Diagnosis, Run


class Progress(Callback):
    """What the run is, how far it is with its latest losses, and what it reached.

    On a terminal a bar shows it; elsewhere each reading of the statistics is a line.

    Args:
        refresh_s: how often the bar is redrawn, in seconds.
    """

    def __init__(self, refresh_s: Annotated[float, Field(ge=0.1, le=60)] = 0.5) -> None:
        self.refresh_s = refresh_s
        self._console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
        self._bar: _Bar | None = None
        self._began, self._first_step = 0.0, 0

    def run_started(self, run: Run) -> None:
        self._began, self._first_step = time.monotonic(), run.step
        for line in introduction(run):
            self._console.print(line)
        if self._console.is_interactive:
            self._bar = _Bar(run, self._console, self.refresh_s)
            self._bar.start()

    def step_ended(self, run: Run) -> None:
        if self._bar:
            self._bar.advance_to(run.step)

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        if self._bar:
            self._bar.show(scalars)
        else:
            # In the first step kernels are chosen: it says nothing of the others.
            eta = [f"ETA {self._eta(run)}"] if run.step > self._first_step + 1 or run.step == run.total_steps else []
            self._console.print(
                "  ".join([f"step {run.step}/{run.total_steps}  epoch {_epoch(run)}", *eta, *_figures_of_step(scalars)])
            )

    def metrics_computed(self, run: Run, figures: Mapping[str, float]) -> None:
        if run.step < run.total_steps:  # the last ones stand at the end
            self._console.print(f"step {run.step}")
            self._print_figures(figures)

    def diagnosed(self, run: Run, diagnosis: Diagnosis) -> None:
        told = f"step {run.step}: {diagnosis.message}"
        self._console.print(Text.assemble(("warning: ", "bold yellow"), told))
        for line in filter(None, (diagnosis.cure, diagnosis.link)):
            self._console.print(f"  {line}")

    def run_ended(self, run: Run, status: str) -> None:
        if self._bar:
            self._bar.stop()
        self._console.print(f"{status} at step {run.step} of {run.total_steps}{_but(run)}")
        self._print_figures(run.figures)
        for line in _aligned(_whereabouts(run, status)):
            self._console.print(f"  {line}")

    def _eta(self, run: Run) -> str:
        seconds_per_step = (time.monotonic() - self._began) / max(1, run.step - self._first_step)
        return str(timedelta(seconds=round((run.total_steps - run.step) * seconds_per_step)))

    def _print_figures(self, figures: Mapping[str, float]) -> None:
        for line in _aligned(figure_rows(figures)):
            self._console.print(f"  {line}")


class _Bar(rich_progress.Progress):
    """A bar, and below it a line of the latest losses. A thread of its own redraws it."""

    def __init__(self, run: Run, console: Console, refresh_s: float) -> None:
        self._losses = Text(style="dim")
        super().__init__(
            rich_progress.BarColumn(bar_width=None),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("epoch {task.fields[epoch]}"),
            rich_progress.TextColumn("{task.fields[speed]}"),
            rich_progress.TimeRemainingColumn(),
            console=console,
            refresh_per_second=1 / refresh_s,
            speed_estimate_period=60,
            transient=True,
            expand=True,
        )
        self._run = run
        self._task = self.add_task("", total=run.total_steps, completed=run.step, epoch=_epoch(run), speed="")

    def advance_to(self, step: int) -> None:
        self.update(self._task, completed=step, epoch=_epoch(self._run))

    def show(self, scalars: Mapping[str, float]) -> None:
        speed, *others = _figures_of_step(scalars)
        self._losses.plain = "  ".join(others)
        self.update(self._task, speed=speed)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield self._losses


def introduction(run: Run) -> Iterator[str]:
    """What the run is, in a few lines."""
    yield f"{run.recipe.name}  {run.folder}"
    why = f": {run.choice.why}" if run.choice.why else ""
    rows = [
        ("device", f"{_count_of(run)}{run.record['machine']['device']}, {run.recipe.run.precision}{why}"),
        *(("threads", told) for told in _idle_cores(run)),
        ("levers", str(run.levers)),
        *(("tried", line) for line in run.choice.trials),
        ("parameters", ", ".join(f"{name} {_count(number)}" for name, number in run.plan.parameters.items())),
        *(
            (f"step of {phase}", f"forwards {', '.join(f'{network} {count}' for network, count in counts.items())}")
            for phase, counts in run.plan.forwards.items()
        ),
        ("length", f"{run.total_steps} steps of {run.division} images, {_total_epochs(run)} epochs"),
    ]
    if run.levers.compiled:
        rows.append(("first steps", "take longer: code is generated for them"))
    rows += [("data", remark) for remark in run.recipe.dataset.remarks()]
    if run.resumed_at is not None:
        rows.append(("resumed at", f"step {run.resumed_at}"))
        changed = [entry for entry in run.record.get("changes", []) if entry["step"] == run.resumed_at]
        rows += [("changed", "{key}: {before} -> {after}".format(**entry)) for entry in changed]
    yield from (f"  {line}" for line in _aligned(rows))


def _idle_cores(run: Run) -> Iterator[str]:
    """A remark that most cores of a CPU have nothing to do: some shells and containers let libraries use one."""
    machine = run.record["machine"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if machine["device"] == "cpu" and machine.get("ranks", 1) == 1 and 2 * machine.get("threads", cores) < cores:
        yield f"{machine['threads']} of {cores} cores compute; OMP_NUM_THREADS={cores} in front of the command lets all"


def _count_of(run: Run) -> str:
    """`8 x ` where eight ranks train; nothing for a single one."""
    ranks = run.record["machine"].get("ranks", 1)
    return f"{ranks} x " if ranks > 1 else ""


def figure_rows(figures: Mapping[str, float]) -> list[list[str]]:
    """A row of words for each metric; those figures share one that share a prefix, as in `a_to_b/untouched`."""
    rows: dict[str, list[str]] = {}
    for key, value in figures.items():
        metric, _, name = key.rpartition("/")
        rows.setdefault(metric or key, []).append(_words(name, value) if metric else f"{value:.3g}")
    return [[metric, *words] for metric, words in rows.items()]


def _words(name: str, value: float) -> str:
    if name == "times_lower" and value > 0:
        return f"{value:.3g} times lower" if value >= 1 else f"{1 / value:.3g} times higher"
    return f"{name.replace('_', ' ')} {value:.3g}"


def _whereabouts(run: Run, status: str) -> Iterator[tuple[str, str]]:
    """What went wrong, where to look, and how to go on."""
    for diagnosis in run.diagnoses.values():
        yield "warned of", f"{diagnosis.name.replace('_', ' ')}   {diagnosis.link}".rstrip()
    if bad := run.record.get("bad_files"):
        yield "skipped", f"{len(bad)} bad {'file' if len(bad) == 1 else 'files'}, listed in {run.folder / 'run.json'}"
    for name, reached in run.record.get("best", {}).items():
        if reached["step"] < run.step and name in run.figures:
            # A checkpoint that an ancestor had may be gone.
            kept = "ancestor" not in run.record or (run.folder / f"checkpoints/step_{reached['step']:07d}").is_dir()
            better = f"{name.replace('_', ' ')} {reached['value']:.3g} at step {reached['step']}"
            yield "was better", f"{better}, which is kept" if kept else better
    if (run.folder / "images").is_dir():
        yield "panels", str(run.folder / "images")
    yield "TensorBoard", f"ganforge board {run.folder}"
    if status != "finished":
        yield from _going_on(run)


def _but(run: Run) -> str:
    """What watched the training and failed, for the last line but its figures."""
    failed = [f"{who} raised" + (f" {times} times" if times > 1 else "") for who, times in run.failures.items()]
    return f", but {', '.join(failed)}" if failed else ""


def _going_on(run: Run) -> Iterator[tuple[str, str]]:
    """The command, and from where it goes on if steps are lost."""
    saved = run.record.get("checkpoint")
    if saved is None:
        yield "saved", "nothing yet"
        return
    step = int(saved.rpartition("_")[2])
    if step != run.step:
        yield "saved", f"step {step}; what came after it is lost"
    record = run.record
    files = record.get("process", {}).get("plugins") or [
        c["file"] for c in record.get("code", {}).values() if "file" in c
    ]
    yield "to go on", f"ganforge run {run.folder} --resume{''.join(f' -p {file}' for file in files)}"


def _figures_of_step(scalars: Mapping[str, float]) -> list[str]:
    """The speed, the memory, and each loss, short."""
    memory = scalars.get("memory/reserved_GiB", scalars.get("memory/resident_GiB"))
    losses = [f"{tag.removeprefix('losses/')} {v:.3g}" for tag, v in scalars.items() if tag.startswith("losses/")]
    sizes = [] if memory is None else [f"{memory:.1f} GiB"]
    return [f"{scalars['speed/images_per_second']:.3g} images/s", *sizes, *losses]


def _epoch(run: Run) -> str:
    return f"{_short(_epochs(run, run.step))}/{_total_epochs(run)}"


def _total_epochs(run: Run) -> str:
    return _short(_epochs(run, run.total_steps)).removesuffix(".0")


def _epochs(run: Run, step: int) -> float:
    """Done after a step; where a step's samples have changed, epochs go on from where they were."""
    return (step + run.record.get("ahead", 0)) / run.steps_per_epoch


def _short(epochs: float) -> str:
    return f"{epochs:.1f}" if epochs >= 0.1 else f"{epochs:.2g}"


def _count(number: int) -> str:
    """11,378,179 as `11.4 M`."""
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows of words as lines, whose columns stand below each other."""
    rows = list(rows)
    columns = max(map(len, rows), default=0)
    widths = [max(len(row[i]) for row in rows if len(row) > i) for i in range(columns)]
    return ["   ".join(word.ljust(width) for word, width in zip(row, widths, strict=False)).rstrip() for row in rows]
