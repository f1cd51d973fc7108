"""How ranks end, each for its own reason, under a launcher that stops the others as soon as one has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import ranked
import torch

from ganforge.commands import ranks
from ganforge.engine.run import Run

TROUBLE = "phases.0.losses.adv_ab={type: toys.trouble, input: fake_b, kind: error, ranks: RANKS}"
SLOW = """
from ganforge.engine.folder import RunFolder
note = RunFolder.note
def noted_slowly(self, **entries):
    if entries.get("status") == "failed" and self.writes:
        time.sleep(2)
    note(self, **entries)
RunFolder.note = noted_slowly
"""
KILLED = """
import atexit, pathlib, signal
once = pathlib.Path(__file__).with_name("killed")
if os.environ.get("RANK") == "1" and not once.exists():
    atexit.register(lambda: (once.touch(), os.kill(os.getpid(), signal.SIGKILL)))
"""


def two_ranks(folder: Path, more: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A short run of two ranks; `more` is done where plugins are loaded."""
    plugin = folder / "toys.py"
    plugin.write_text(ranked.TOYS.read_text() + more)
    settings = ["callbacks.diary=null", "run.steps=2", "run.images=[]", "--nproc", "2", "--out", str(folder)]
    recipe = ranked.ROOT / "tests/engine/toy_cyclegan.yaml"
    command = [sys.executable, "-m", "ganforge", "run", str(recipe), "-p", str(plugin), *settings, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("which", [[0], [0, 1]])
def test_an_error_is_told_once_and_written_down_however_long_that_takes(which: Sequence[int], tmp_path: Path) -> None:
    done = two_ranks(tmp_path, SLOW, TROUBLE.replace("RANKS", str(list(which))))
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("ZeroDivisionError: by design") == (1 if len(which) == 2 else 2), done.stderr
    assert "Traceback" not in done.stderr
    record = json.loads((tmp_path / "toy_cyclegan/0001/run.json").read_text())
    assert record["status"] == "failed"
    assert 'raise ZeroDivisionError("by design")' in record["traceback"]
    assert not (tmp_path / "toy_cyclegan/0002").exists()


def test_a_rank_that_dies_after_the_end_trains_nothing_anew(tmp_path: Path) -> None:
    done = two_ranks(tmp_path, KILLED)
    assert (tmp_path / "killed").exists()
    assert done.returncode == 0, done.stderr
    assert "restart 1 of 3" in done.stderr
    assert "is finished: 2 of 2 steps" in done.stdout
    assert not (tmp_path / "toy_cyclegan/0002").exists()


def test_a_launch_is_more_than_the_name_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "100")
    monkeypatch.setattr("os.getppid", lambda: 1)
    first = ranks._this_launch()
    assert ranks._this_launch() == first
    monkeypatch.setattr("os.getppid", lambda: 2)
    assert ranks._this_launch() != first


def test_threads_are_those_of_as_many_ranks(start: Callable[..., Run]) -> None:
    run = start("run.steps=1")
    run.train()
    before = torch.get_num_threads()
    try:
        for ranks_before, threads in ((8, before), (1, before + 1)):
            run._record.note(machine=run.record["machine"] | {"ranks": ranks_before, "threads": before + 1})
            assert start("run.steps=2").resume()
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
