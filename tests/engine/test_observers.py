"""What watches a training, a callback, a metric or a panel, costs nothing of what was trained."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import errno
import sys
import torch
from torch import Tensor
from ganforge import Callback, Metric, TrainingFailed, hookimpl

KINDS = {
    "value": lambda: ValueError("by design"),
    "full": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "stop": lambda: TrainingFailed("enough: it will not get better"),
    "kill": KeyboardInterrupt,
}

class Raising(Callback):
    def __init__(self, event: str, kind: str = "value", step: int = 0) -> None:
        def fail(run, *_):
            if run.step >= step:
                raise KINDS[kind]()
        setattr(self, event, fail)

class Few(Metric):
    def __init__(self, wanted: int = 4) -> None:
        self.wanted, self.seen = wanted, 0
    def update(self, images: Tensor) -> None:
        self.seen += len(images)
    def compute(self) -> float:
        if self.seen < self.wanted:
            raise ValueError(f"it needs {self.wanted} pictures at least, not {self.seen}")
        return float(self.seen)

class Late(Few):
    computed = 0
    def compute(self) -> float:
        Late.computed += 1
        if Late.computed > self.wanted:
            raise ZeroDivisionError("by design")
        return 1.0

def hollow(real: Tensor, fake: Tensor) -> Tensor:
    return real.mean() - fake.mean()
hollow.scores = ("real", "fake")

def nothing(x: Tensor) -> Tensor:
    return x * torch.nan

@hookimpl
def register_callbacks(register):
    register("raising", Raising)

@hookimpl
def register_metrics(register):
    register("few", Few)
    register("late", Late)

@hookimpl
def register_losses(register):
    register("hollow", hollow)

def flat(x: Tensor) -> Tensor:
    return x.flatten(1)

@hookimpl
def register_ops(register):
    register("flat", flat)
    register("nothing", nothing)
"""
RECIPE = """
data: {type: shapes, size_px: 16, count: 4, validation: 3}
networks: {G: {type: cyclegan.resnet_generator, channels: 2, blocks: 0}}
signals: {fake: G(real_a)}
players: {g: {networks: [G], optimizer: {type: sgd, lr: 0.001}}}
phases:
  - {train: g, losses: {same: {type: l1, input: fake, target: real_b}}}
run: {steps: 6, log_every: 2, images: [fake], images_every: 3}
"""
EVENTS = (
    "run_started",
    "step_ended",
    "statistics_read",
    "distributions_read",
    "images_drawn",
    "metrics_computed",
    "checkpoint_saved",
    "diagnosed",
    "run_ended",
)


@pytest.fixture
def run_it(in_tmp: Path, ganforge: Callable[..., Any]) -> Callable[..., Any]:
    (in_tmp / "observing.py").write_text(PLUGIN)
    (in_tmp / "r.yaml").write_text(RECIPE)
    return lambda *arguments: ganforge("run", "r.yaml", "-p", "observing.py", *arguments)


def record() -> dict[str, Any]:
    return json.loads(Path("runs/r/0001/run.json").read_text())


@pytest.mark.parametrize("event", [event for event in EVENTS if event != "diagnosed"])
def test_a_callback_that_raises_is_told_once_and_training_goes_on(event: str, run_it: Callable[..., Any]) -> None:
    metric = "metrics.few={type: few, images: fake, wanted: 1}"
    scores = "phases.0.losses.h={type: hollow, real: real_b, fake: fake}"
    outcome = run_it(f"callbacks.bell={{type: raising, event: {event}}}", metric, scores)
    assert outcome.code == 0, outcome.err
    told = f"callback 'bell' raised in {event}: by design (at "
    assert (outcome.out + outcome.err).count(told) == 1
    assert "Traceback" not in outcome.out + outcome.err
    assert "observing.py" in record()["observers"]["callback 'bell'"]["traceback"]
    assert [entry["name"] for entry in record()["diagnoses"]] == ["callback_bell_failed"]
    assert record()["status"] == "finished"
    if event != "run_ended":
        assert re.search(r"finished at step 6 of 6, but callback 'bell' raised( \d times)?\n", outcome.out)
    assert Path("runs/r/0001/checkpoints/step_0000006/manifest.json").is_file()


def test_one_that_raises_when_it_is_told_of_itself(run_it: Callable[..., Any]) -> None:
    outcome = run_it(
        "callbacks.bell={type: raising, event: step_ended}", "callbacks.ears={type: raising, event: diagnosed}"
    )
    assert outcome.code == 0, outcome.err
    assert "finished at step 6 of 6, but callback 'bell' raised 6 times, callback 'ears' raised 2 times" in outcome.out


def test_without_progress_it_is_told_as_a_warning(run_it: Callable[..., Any]) -> None:
    outcome = run_it("callbacks.bell={type: raising, event: step_ended, step: 4}", "callbacks.progress=null")
    assert outcome.code == 0
    assert outcome.err.count("warning: step 4: callback 'bell' raised in step_ended: by design") == 1


@pytest.mark.parametrize("event", ["step_ended", "checkpoint_saved", "run_ended"])
def test_strict_runs_end_with_it_and_keep_what_was_due(event: str, run_it: Callable[..., Any]) -> None:
    outcome = run_it(f"callbacks.bell={{type: raising, event: {event}, step: 6}}", "run.strict=true")
    assert outcome.code == 4
    assert f"error: step 6: callback 'bell' raised in {event}: ValueError: by design" in outcome.err
    assert record()["status"] == "failed"
    saved = Path("runs/r/0001/checkpoints/step_0000006/manifest.json").is_file()
    assert saved == (event != "step_ended")


def test_a_callback_may_end_the_run(run_it: Callable[..., Any]) -> None:
    outcome = run_it("callbacks.bell={type: raising, event: step_ended, kind: stop, step: 3}")
    assert outcome.code == 4
    assert "error: enough: it will not get better\n" in outcome.err


def test_a_full_disk_of_a_callback_is_told(run_it: Callable[..., Any]) -> None:
    outcome = run_it("callbacks.bell={type: raising, event: images_drawn, kind: full}")
    assert outcome.code == 0
    assert "No space left on device" in outcome.out


def test_killed_while_it_shows_the_last_step_nothing_is_lost(run_it: Callable[..., Any]) -> None:
    killed = run_it("callbacks.bell={type: raising, event: images_drawn, kind: kill, step: 6}")
    assert killed.code == 130
    assert record()["unseen"] == ["panels"]
    panel = Path("runs/r/0001/images/panel/step_0000006.png")
    panel.unlink()
    resumed = run_it("--resume")
    assert resumed.code == 0
    assert panel.is_file()
    assert (record()["status"], record()["unseen"]) == ("finished", [])
    assert "is finished: 6 of 6 steps" in run_it("--resume").out


# Metrics


def test_a_metric_that_cannot_judge_so_few_is_told_before_the_first_step(run_it: Callable[..., Any]) -> None:
    kid = "metrics.near={type: kid, real: flat(real_b), fake: flat(fake), subsets: 2}"
    outcome = run_it(kid)
    assert outcome.code == 2
    assert "the metric 'near' cannot be computed: kid needs four pictures at least, not 3" in outcome.err
    assert re.search(r"\n  metrics.near=.*\n +\^\^\^\n.*leave it out: metrics.near=null", outcome.err)
    assert record()["step"] == 0
    assert run_it(kid, "data.validation=4").code == 0


def test_a_metric_may_need_more_than_a_rehearsal_has(run_it: Callable[..., Any]) -> None:
    outcome = run_it("metrics.kid={type: few, images: fake, wanted: 20}", "data.validation=20")
    assert outcome.code == 0
    assert record()["metrics"] == {"kid": 20}


def test_a_metric_that_fails_later_costs_neither_the_run_nor_other_metrics(run_it: Callable[..., Any]) -> None:
    several = ("metrics.late={type: late, images: fake, wanted: 2}", "metrics.few={type: few, images: fake, wanted: 1}")
    outcome = run_it(*several, "run.metrics_every=2")
    assert outcome.code == 0
    assert outcome.out.count("metric 'late' cannot be computed: ZeroDivisionError: by design (at") == 1
    assert "finished at step 6 of 6, but metric 'late' raised 3 times" in outcome.out
    assert record()["metrics"] == {"few": 3}


def test_in_a_strict_run_it_is_fatal(run_it: Callable[..., Any]) -> None:
    outcome = run_it("metrics.late={type: late, images: fake, wanted: 1}", "run.strict=true")
    assert outcome.code == 4
    assert "the metric 'late' cannot be computed: ZeroDivisionError: by design" in outcome.err
    assert Path("runs/r/0001/checkpoints/step_0000006/manifest.json").is_file()


def test_the_best_checkpoint_is_kept_though_it_was_saved_before_it_was_measured(run_it: Callable[..., Any]) -> None:
    error = "metrics.e={type: translation_error, translated: fake, original: real_a, truth: true_b}"
    frozen = "players.g.optimizer.lr=0.0"  # then the first is the best
    outcome = run_it(error, frozen, "run.metrics_every=1", "run.checkpoint_every=1", "run.keep_last=1")
    assert outcome.code == 0
    kept = sorted(path.name for path in Path("runs/r/0001/checkpoints").iterdir())
    best = {f"step_{entry['step']:07d}" for entry in record()["best"].values()}
    assert kept == sorted(best | {"step_0000006"})


def test_verdicts_that_are_nan_end_no_run(run_it: Callable[..., Any]) -> None:
    judged = "phases.0.losses.h={type: hollow, real: nothing(fake), fake: fake, every: 2}"
    outcome = run_it(judged, "run.on_bad_loss=skip", "run.images_every=1")
    assert outcome.code == 0, outcome.err
    assert "histogram" not in outcome.out + outcome.err
