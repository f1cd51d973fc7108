"""A callback that hears every event, and reads of a run all that it may."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ganforge import Callback, Diagnosis, Direction, Run, TrainingFailed
from ganforge.images import label_grid, to_uint8, write_image


class Diary(Callback):
    """Writes down what happened into `diary.json`.

    Args:
        limit: a loss above it ends the run.
    """

    def __init__(self, limit: float = 1e6) -> None:
        self.limit = limit
        self.heard: Counter[str] = Counter()
        self.directions: list[Direction] = []

    def run_started(self, run: Run) -> None:
        self.heard["run_started"] += 1
        self.directions = list(run.directions)
        assert isinstance(run, Run)
        assert run.recipe.name
        assert run.status == "running"
        assert (run.resumed_at is None) == (not run.changes)
        assert all(change.key and change.after for change in run.changes)
        assert sum(run.plan.parameters.values()) > 0
        assert str(run.levers)
        assert str(run.division)
        assert run.choice is not None
        assert run.device.type

    def step_ended(self, run: Run) -> None:
        self.heard["step_ended"] += 1
        assert 0 < run.step <= run.total_steps
        assert run.images_per_step > 0
        assert run.steps_per_epoch > 0

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        self.heard["statistics_read"] += 1
        if max(value for tag, value in scalars.items() if tag.startswith("losses/")) > self.limit:
            raise TrainingFailed("it is too bright\n  lower the learning rate")

    def distributions_read(self, run: Run, distributions: Mapping[str, Tensor]) -> None:
        self.heard["distributions_read"] += 1
        assert all(values.numel() for values in distributions.values())

    def images_drawn(self, run: Run, panels: Mapping[str, Tensor]) -> None:
        self.heard["images_drawn"] += 1
        direction = self.directions[0]
        lit = run.drawn[direction.translated]
        darker = run.compute(direction.translated, {direction.source or "": [image - 1 for image in lit]})
        rows = [[to_uint8(one), to_uint8(other)] for one, other in zip(lit, darker, strict=True)]
        write_image(Path(run.folder, "darker.png"), label_grid(rows, ["lit", "darker"]))
        run.diagnose(Diagnosis("rooms_seen", f"{len(lit)} rooms were drawn", "look at them"))

    def diagnosed(self, run: Run, diagnosis: Diagnosis) -> None:
        self.heard["diagnosed"] += 1
        assert diagnosis.name in run.diagnoses

    def metrics_computed(self, run: Run, figures: Mapping[str, float]) -> None:
        self.heard["metrics_computed"] += 1
        assert figures.items() <= run.figures.items()

    def checkpoint_saved(self, run: Run, path: str) -> None:
        self.heard["checkpoint_saved"] += 1
        assert Path(path).is_dir()

    def run_ended(self, run: Run, status: str) -> None:
        self.heard["run_ended"] += 1
        told = {
            "heard": self.heard,
            "failures": dict(run.failures),
            "lanes": run.record["lanes"],
            "again": run.resume_command(*run.scaled_rates(["wicks"], 0.5)),
        }
        Path(run.folder, "diary.json").write_text(json.dumps(told))
