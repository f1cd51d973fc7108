"""How fast a recipe trains on this machine: a short run, watched, beside what the machine reaches at best."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ganforge.bench.meter import WHOLE, Meter, Tell
from ganforge.core.machine import machine
from ganforge.errors import TrainingFailed
from ganforge.plugins.registry import Registry
from ganforge.ranks.device import choose_device, synchronize
from ganforge.ranks.division import divide
from ganforge.recipe.model import PhaseUse, Recipe
from ganforge.rehearsal.random_data import RandomData
from ganforge.runs.observers import DEFAULT_CALLBACKS
from ganforge.runs.run import Run
from ganforge.runs.run_folder import RunFolder
from ganforge.training.levers.peak import Peak, measure_peak
from ganforge.training.recording import WARM_UP

STEPS, LIMIT_S = 20, 60.0
"""What is measured unless the user says how many steps: the phases' whole cycles, but no longer than this."""
WAIT = "seconds/data_wait"
WAITING, IDLE, NEAR = 0.1, 0.05, 0.6
"""Shares from which a verdict is given: of a step waited for data; of a step that a GPU is behind; of the peak."""


@dataclass(frozen=True)
class Spread:
    """Seconds of what was measured several times."""

    median: float
    mean: float
    fastest: float
    slowest: float


@dataclass(frozen=True)
class Timing:
    """Seconds of a step, or of a part of it, and its work."""

    seconds: Spread
    share_of_step: float
    flops: int | None = None
    """FLOPs of forward and backward with all losses, as the dry run counts them."""
    flops_per_second: float | None = None
    """Over those steps alone in which all losses ran."""
    share_of_peak: float | None = None


@dataclass(frozen=True)
class Extra:
    """What a run does between its steps: how often, and seconds each time."""

    count: int
    seconds: float


@dataclass(frozen=True)
class Length:
    """What the whole recipe takes, without its start-up."""

    steps: int
    seconds_per_step: float
    extras: dict[str, Extra]
    left_out: tuple[str, ...]
    hours: float


@dataclass(frozen=True)
class Bench:
    """What was measured."""

    recipe: str
    device: str
    precision: str
    threads: int
    levers: str
    """What the engine does to be fast, in its own words."""
    why: str
    """Why this precision, where the recipe leaves it to the machine."""
    tried: tuple[str, ...]
    """What trials on this machine found, a line each."""
    images_per_step: int
    steps: int
    warm_up: int
    cycle: int
    """Steps after which the phases and losses repeat."""
    step: Timing
    phases: dict[str, Timing]
    data_wait: Timing | None
    """How long a step waits for its data; None for random batches."""
    images_per_second: float
    peak: Peak | None
    peak_memory_gib: float
    startup_s: float
    """Seconds until the end of the first step."""
    length: Length | None
    """None where only the data could tell how many steps an epoch has."""
    verdict: str | None
    stop_signal: int | None
    """The signal that ended it early."""


def bench(
    recipe: Recipe,
    registry: Registry,
    steps: int | None = None,
    warm_up: int | None = None,
    random_data: bool = False,
    began: float | None = None,
    tell: Tell = lambda _: None,
) -> Bench:
    """Take a few steps of a recipe in a temporary folder, and measure them.

    Args:
        steps: so many are measured; otherwise some twenty, or those of a minute.
        warm_up: steps before them; at least 1. By default 3, or until all that a GPU repeats is recorded.
        random_data: take random batches instead of the recipe's data.
        began: `time.perf_counter()` when the start-up began; now if it is left out.

    Raises:
        KeyboardInterrupt: before anything was measured.
        TrainingFailed: a step cannot be taken.
    """
    warm_up = _warm_up(recipe) if warm_up is None else warm_up
    began = time.perf_counter() if began is None else began
    count = steps or math.ceil(STEPS / _cycle(recipe)) * _cycle(recipe)
    with tempfile.TemporaryDirectory(prefix="ganforge-bench-") as folder:
        run = Run(_shortened(recipe, warm_up + count, random_data), RunFolder(Path(folder)), registry)
        meter = Meter(run.trainer, warm_up, math.inf if steps else LIMIT_S, began, tell)
        run.callbacks = [meter]
        total_steps = recipe.run.steps if random_data else run.total_steps
        run.trainer.progress = replace(run.trainer.progress, total_steps=warm_up + count)
        try:
            run.train()
        except TrainingFailed as error:
            error.record = None  # in a folder that is gone by now
            raise
    if len(meter.watches) <= warm_up:
        raise KeyboardInterrupt
    return _Report(recipe, run, meter, total_steps, random_data).bench()


EXTRAS = ("panels", "metrics", "checkpoints")
"""What happens between steps."""


def _warm_up(recipe: Recipe) -> int:
    """Steps in which kernels are chosen, code is compiled and, for each kind of step, CUDA graphs are recorded."""
    recorded = choose_device(recipe.run.device).type == "cuda" and recipe.run.cuda_graphs is not False
    return (WARM_UP + 1) * _cycle(recipe) if recorded else WARM_UP


def _cycle(recipe: Recipe) -> int:
    """Steps after which the phases and losses repeat."""
    return math.lcm(*(phase.every * loss.every for phase in recipe.phases for loss in phase.losses))


def _shortened(recipe: Recipe, steps: int, random_data: bool) -> Recipe:
    """The recipe without callbacks, and with nothing between its steps but, at the end, one of each."""
    never = dict.fromkeys((*DEFAULT_CALLBACKS, *recipe.callbacks))
    settings = recipe.run.model_copy(
        update={"images_every": steps, "checkpoint_every": steps, "metrics_every": None, "keep_every": None}
        | {"strict": True}  # what fails takes no time, and says nothing of what it would
    )
    short = replace(recipe, run=settings, callbacks=never)
    if not random_data:
        return short
    count = max(settings.images_count, divide(recipe).global_batch)
    # Metrics of random data take the time of no validation set.
    loader = recipe.loader.model_copy(update={"workers": 0})
    return replace(short, dataset=RandomData(recipe.dataset, count), loader=loader, metrics=())


class _Report:
    """What the stopwatches say."""

    def __init__(self, recipe: Recipe, run: Run, meter: Meter, total_steps: int | None, random_data: bool) -> None:
        self.recipe, self.run, self.meter, self.random_data = recipe, run, meter, random_data
        self.total_steps = total_steps
        synchronize(run.device)
        self.readings = {step: watch.read() for step, watch in enumerate(meter.watches) if step >= meter.warm_up}
        self.step_s = statistics.fmean(reading[WHOLE] for reading in self.readings.values())
        self.peak = None if run.stopping.signal else _peak(run)

    def bench(self) -> Bench:
        phases = {phase.name: timing for phase in self.recipe.phases if (timing := self._phase(phase))}
        full = [step for step in self.readings if all(_all_due(phase, step) for phase in self.recipe.phases)]
        step = self._timing(WHOLE, self._flops(*self.recipe.phases), full)
        assert step is not None
        wait = None if self.random_data else self._timing(WAIT)
        where = machine(self.run.device)
        return Bench(
            recipe=self.recipe.name,
            device=where["device"],
            precision=self.run.recipe.run.precision,
            threads=where["threads"],
            levers=str(self.run.levers),
            why=self.run.choice.why,
            tried=tuple(self.run.choice.trials),
            images_per_step=self.run.images_per_step,
            steps=len(self.readings),
            warm_up=self.meter.warm_up,
            cycle=_cycle(self.recipe),
            step=step,
            phases=phases,
            data_wait=wait,
            images_per_second=self.run.images_per_step / self.step_s,
            peak=self.peak,
            peak_memory_gib=self.meter.memory_gib,
            startup_s=self.meter.startup_s,
            length=self._length(),
            verdict=self._verdict(step, wait),
            stop_signal=self.run.stopping.signal,
        )

    def _phase(self, phase: PhaseUse) -> Timing | None:
        return self._timing(
            f"seconds/{phase.name}", self._flops(phase), [step for step in self.readings if _all_due(phase, step)]
        )

    def _flops(self, *phases: PhaseUse) -> int:
        passes = self.run.division.accumulate * len(self.run.division.mine)
        return sum(self.run.plan.flops[phase.name] for phase in phases) * passes

    def _timing(self, name: str, flops: int | None = None, full: Sequence[int] = ()) -> Timing | None:
        """The times under a name, or None if there are none; the work was done in the steps that are `full`."""
        times = {step: reading[name] for step, reading in self.readings.items() if name in reading}
        if not times:
            return None
        all_of_them = list(times.values())
        median, mean = statistics.median(all_of_them), statistics.fmean(all_of_them)
        spread = Spread(median, mean, min(all_of_them), max(all_of_them))
        share = sum(all_of_them) / (self.step_s * len(self.readings))
        rate = flops / statistics.median(times[step] for step in full) if flops and full else None
        return Timing(spread, share, flops, rate, rate / self.peak.best if rate and self.peak else None)

    def _length(self) -> Length | None:
        if self.total_steps is None:
            return None
        counts = self._counts(self.total_steps)
        measured = {name: self.meter.extras[name] for name in EXTRAS if name in self.meter.extras}
        extras = {name: Extra(counts[name], seconds) for name, seconds in measured.items()}
        left_out = tuple(name for name in counts if name not in extras)
        seconds = self.total_steps * self.step_s + sum(extra.count * extra.seconds for extra in extras.values())
        return Length(self.total_steps, self.step_s, extras, left_out, seconds / 3600)

    def _counts(self, steps: int) -> dict[str, int]:
        """How often the whole recipe does what it does between steps: every so many, at the end, some at the start."""
        settings = self.recipe.run
        counts = {"checkpoints": math.ceil(steps / settings.checkpoint_every)}
        if self.run.validation.columns:
            counts["panels"] = 1 + math.ceil(steps / settings.images_every)
        if self.recipe.metrics:
            counts["metrics"] = 1 + math.ceil(steps / settings.metrics_every) if settings.metrics_every else 1
        return counts

    def _verdict(self, step: Timing, wait: Timing | None) -> str | None:
        behind = self.meter.behind_s
        # Then the host looks at each loss, and is never ahead: that says nothing.
        skips = self.recipe.run.on_bad_loss == "skip"
        return verdict(
            self.run.device.type == "cpu",
            wait.share_of_step if wait else 0.0,
            None if behind is None or skips else behind / step.seconds.median,
            step.share_of_peak or 0.0,
        )


def verdict(on_cpu: bool, waiting: float, behind: float | None, of_peak: float) -> str | None:
    """What holds a training up, where the numbers say so.

    Args:
        waiting: the share of a step in which the host waits for data.
        behind: what a GPU had left to do when the host had given it a whole step, as a share of one; None: unknown.
        of_peak: the share of the machine's peak that a step reaches.
    """
    gpu_waits = behind is not None and behind < IDLE
    if (on_cpu or gpu_waits) and waiting >= WAITING:
        return f"waits for data, {waiting:.0%} of the time: more data.workers, or data.cache, would help"
    if of_peak >= NEAR:
        return f"near the peak: {of_peak:.0%} of what this machine reaches at best"
    if gpu_waits:
        return "launch-bound: the GPU is done as soon as the host has launched a step, and waits for the next launch"
    return None


def _all_due(phase: PhaseUse, step: int) -> bool:
    """Whether the phase runs in this step, with all of its losses."""
    return all(step % (phase.every * loss.every) == 0 for loss in phase.losses)


def _peak(run: Run) -> Peak | None:
    """What the machine reaches at best; None if the user has no patience to have it measured."""
    try:
        return measure_peak(run.trainer.precision)
    except KeyboardInterrupt:
        return None
