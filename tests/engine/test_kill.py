"""A run that is killed at ten random moments ends as the one that was left alone: weights, state and curves."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganforge.cli import main

HERE = Path(__file__).parent
STEPS = 600
AUGMENT = "data.augment=[{type: rotate}, flip_horizontal, {type: colour}, {type: noise, probability: 0.5}]"
KILLS = 10


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], BaseProcess]:
    """`ganforge run --resume` in a process of its own; forked from one that has imported torch, which takes seconds."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    heavy = ["ganforge.builtin", "ganforge.cli", "ganforge.runs.run", "ganforge_cyclegan", "torch._dynamo"]
    context.set_forkserver_preload(heavy)

    def make(out: Path) -> BaseProcess:
        options = [f"run.steps={STEPS}", "run.checkpoint_every=20", "run.keep_last=2", "run.log_every=7", AUGMENT]
        recipe = [str(HERE / "toy_cyclegan.yaml"), *options, "callbacks.tensorboard={type: tensorboard}"]
        arguments = ["run", *recipe, "-p", str(HERE / "toys.py"), "--resume", "--out", str(out)]
        process = context.Process(target=main, args=(arguments,))
        process.start()
        return process

    return make


def folder_of(out: Path) -> Path:
    (folder,) = (out / "toy_cyclegan").iterdir()
    return folder


def wait_for_a_checkpoint(out: Path, process: BaseProcess, other_than: set[str]) -> set[str]:
    """Training is under way once there is another checkpoint; returns those that there are then."""
    found = other_than
    while process.is_alive() and not found - other_than:
        time.sleep(0.005)
        found = {path.name for path in out.glob("toy_cyclegan/*/checkpoints/step_*")}
    return found


def finish(process: BaseProcess) -> None:
    process.join(timeout=600)
    assert process.exitcode == 0


def last_checkpoint(out: Path) -> Path:
    return folder_of(out) / "checkpoints" / f"step_{STEPS:07d}"


def losses(out: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder_of(out)), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith(("speed/", "memory/"))]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def state(path: Path) -> Any:
    return json.loads((path / "state.json").read_text())


def test_ten_kills_leave_no_trace(tmp_path: Path, launch: Callable[[Path], BaseProcess]) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    undisturbed = launch(alone)
    rng = random.Random(0)
    seen: set[str] = set()
    for _ in range(KILLS):
        process = launch(killed)
        seen = wait_for_a_checkpoint(killed, process, seen)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    finish(launch(killed))
    finish(undisturbed)

    one, other = last_checkpoint(alone), last_checkpoint(killed)
    for file in ("networks", "ema", "training"):
        ours, theirs = (load_file(path / f"{file}.safetensors") for path in (one, other))
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert state(one) == state(other)
    assert json.loads((folder_of(killed) / "run.json").read_text())["status"] == "finished"
    curves = losses(alone)
    assert len(curves["losses/cycle_a"]) == STEPS // 7 + 2  # and the first and the last step
    assert losses(killed) == curves
