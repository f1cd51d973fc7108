"""Watches a run: each step by a stopwatch of its own, and what the run does at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace

from ganforge.api.callbacks import Callback, Run
from ganforge.ranks.device import synchronize
from ganforge.training.statistics import Stopwatch
from ganforge.training.trainer import Trainer

WHOLE = "seconds/whole_step"

Tell = Callable[[str], None]


class Meter(Callback):
    """Gives each step a stopwatch of its own, and times what a run does at its end."""

    def __init__(self, trainer: Trainer, warm_up: int, limit_s: float, began: float, tell: Tell) -> None:
        self.trainer = trainer
        self.warm_up, self.limit_s, self.began, self.tell = warm_up, limit_s, began, tell
        self.watches: list[Stopwatch] = []
        """A stopwatch for each step; on a GPU they can be read when the device has done its work."""
        self.behind_s: float | None = None
        """How long a GPU went on after the host had given it the last step."""
        self.extras: dict[str, float] = {}
        self.startup_s = self.memory_gib = 0.0
        self._step = ExitStack()
        self._deadline = math.inf
        self._mark = 0.0

    def run_started(self, run: Run) -> None:
        self.tell("the first step, in which kernels are chosen")

    def step_ended(self, run: Run) -> None:
        self._step.close()
        self.watches.append(self.trainer.stopwatch)
        taken, now = len(self.watches), time.perf_counter()
        if run.step == run.total_steps:
            synchronize(run.device)
            self.behind_s = None if run.device.type == "cpu" else time.perf_counter() - now
        elif taken == self.warm_up:
            synchronize(run.device)
            self._deadline = now + self.limit_s
        elif now > self._deadline:
            self.trainer.progress = replace(self.trainer.progress, total_steps=run.step + 1)
        self.tell(f"step {taken} of {run.total_steps}" + (", to warm up" if taken <= self.warm_up else ""))
        self.trainer.stopwatch = Stopwatch(run.device)
        self._step.enter_context(self.trainer.stopwatch.measure(WHOLE))

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        self._mark = time.perf_counter()
        self.startup_s = self.startup_s or self._mark - self.began
        self.memory_gib = scalars.get("memory/reserved_GiB", scalars.get("memory/resident_GiB", 0.0))

    def images_drawn(self, run: Run, panels: object) -> None:
        self._note(run, "panels", "metrics" if run.recipe.metrics else "the machine's peak")

    def metrics_computed(self, run: Run, figures: Mapping[str, float]) -> None:
        self._note(run, "metrics", "the machine's peak")

    def checkpoint_saved(self, run: Run, path: str) -> None:
        self._note(run, "checkpoints", "panels and metrics")

    def _note(self, run: Run, name: str, following: str) -> None:
        if run.step == run.total_steps:
            now = time.perf_counter()
            self.extras[name], self._mark = now - self._mark, now
            self.tell(f"measuring {following}")
