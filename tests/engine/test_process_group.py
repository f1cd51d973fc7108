"""Ctrl-C and a scheduler's SIGTERM reach the whole process group, the loader's workers too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from forked import Forked

HERE = Path(__file__).parent


def launch(out: Path) -> Forked:
    run = [sys.executable, "-m", "ganforge", "run", str(HERE / "toy_cyclegan.yaml"), "-p", str(HERE / "toys.py")]
    options = ["run.steps=100000", "run.checkpoint_every=20", "data.workers=2", "run.metrics_every=null"]
    return Forked([*run, *options, "--out", str(out)], start_new_session=True, stdout=subprocess.DEVNULL)


def test_a_group_that_is_asked_to_stop_saves_and_goes(tmp_path: Path) -> None:
    runs = {number: launch(tmp_path / number.name) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, process in runs.items():
            stop_and_check(process, number, tmp_path / number.name / "toy_cyclegan/0001")
    finally:
        for process in runs.values():
            process.kill()


def stop_and_check(process: Forked, number: signal.Signals, folder: Path) -> None:
    while not list(folder.glob("checkpoints/step_*")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, number)
    assert process.wait(timeout=600) == 128 + number
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert record["checkpoint"] == f"step_{record['step']:07d}"
