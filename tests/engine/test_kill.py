"""A run that is killed at ten random moments ends as the one that was left alone: weights, state and curves."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

HERE = Path(__file__).parent
STEPS = 600
KILLS = 10


def command(out: Path) -> list[str]:
    run = [sys.executable, "-m", "ganforge", "run", str(HERE / "toy_cyclegan.yaml"), "-p", str(HERE / "toys.py")]
    options = [f"run.steps={STEPS}", "run.checkpoint_every=20", "run.keep_last=2", "run.log_every=7"]
    return [*run, "--resume", "--out", str(out), *options, "callbacks.tensorboard={type: tensorboard}"]


def launch(out: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command(out), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def folder_of(out: Path) -> Path:
    (folder,) = (out / "toy_cyclegan").iterdir()
    return folder


def wait_for_a_checkpoint(out: Path, process: subprocess.Popen[bytes], than: set[str]) -> set[str]:
    """Training is under way once another checkpoint is there; says which there are then."""
    while process.poll() is None:
        found = {path.name for path in out.glob("toy_cyclegan/*/checkpoints/step_*")}
        if found - than:
            return found
        time.sleep(0.01)
    return than


def finish(process: subprocess.Popen[bytes]) -> None:
    _, told = process.communicate(timeout=100)
    assert process.returncode == 0, told.decode()


def last_checkpoint(out: Path) -> Path:
    return folder_of(out) / "checkpoints" / f"step_{STEPS:07d}"


def losses(out: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder_of(out)), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith(("speed/", "memory/"))]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def state(path: Path) -> Any:
    return json.loads((path / "state.json").read_text())


def test_ten_kills_leave_no_trace(tmp_path: Path) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    finish(launch(alone))
    rng = random.Random(0)
    seen: set[str] = set()
    kills = 0
    for _ in range(KILLS):
        process = launch(killed)
        seen = wait_for_a_checkpoint(killed, process, seen)
        time.sleep(rng.uniform(0, 0.25))
        process.kill()
        process.communicate()
        kills += process.returncode == -9
    assert kills == KILLS
    finish(launch(killed))

    one, other = last_checkpoint(alone), last_checkpoint(killed)
    for file in ("networks", "ema", "training"):
        ours, theirs = (load_file(path / f"{file}.safetensors") for path in (one, other))
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert state(one) == state(other)
    assert json.loads((folder_of(killed) / "run.json").read_text())["status"] == "finished"
    curves = losses(alone)
    assert len(curves["losses/cycle_a"]) == STEPS // 7
    assert losses(killed) == curves
