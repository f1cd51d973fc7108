"""How ranks end, each for its own reason, under a launcher that stops the others as soon as one has ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import forked
import pytest
import ranked
import torch

from ganforge.commands import _ranks
from ganforge.runs.run import Run

TROUBLE = "phases.0.losses.adv_ab={type: toys.trouble, input: fake_b, kind: error, ranks: RANKS}"
SLOW = """
from ganforge.runs.run_folder import RunFolder
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

UNFORESEEN = """
import operator
from ganforge.runs.run import Run
Run.start = operator.itemgetter("by design")  # no line of the plugin: that would be told as its fault
"""
ASLEEP = """
import pathlib
from ganforge.training.trainer import Trainer
def step(self, *_, **__):
    pathlib.Path(__file__).with_name(f"asleep{os.environ['RANK']}").touch()
    time.sleep(3600)
Trainer.step = step
"""

BROKEN_OFF = """
import os, signal, subprocess, sys, threading
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.launcher import api
from ganforge.commands._launch import launch

RANK = (
    "import signal, time\\n"
    "signal.signal(signal.SIGTERM, lambda *_: print('heard', flush=True))\\n"
    "print('listens', flush=True)\\n"
    "while True: time.sleep(1)"
)

def elastic_launch(*_):
    rank = subprocess.Popen([sys.executable, "-c", RANK], stdout=subprocess.PIPE, start_new_session=True)
    rank.stdout.readline()
    os.kill(rank.pid, signal.SIGTERM)
    rank.stdout.readline()
    print(rank.pid, flush=True)
    threading.Thread(target=threading.Event().wait).start()  # as torch's, which read what ranks write
    def run(*_):
        raise SignalException("while it ended the ranks", signal.SIGINT)
    return run

api.elastic_launch = elastic_launch
launch([], 1, 0)
"""


def two_ranks(folder: Path, more: str, *arguments: str) -> list[str]:
    """A short run of two ranks; `more` is done where plugins are loaded."""
    plugin = folder / "toys.py"
    plugin.write_text(ranked.TOYS.read_text() + more)
    settings = ["callbacks.diary=null", "run.steps=2", "run.images=[]", "--nproc", "2", "--out", str(folder)]
    recipe = ranked.ROOT / "tests/engine/toy_cyclegan.yaml"
    return [sys.executable, "-m", "ganforge", "run", str(recipe), "-p", str(plugin), *settings, *arguments]


def unlaunched(command: list[str], kind: type[subprocess.Popen[str]] = forked.Forked) -> list[tuple[int, str]]:
    """The same ranks without a launcher: how each ended, and what it told."""
    words = [word for word in command[1:] if word not in ("--nproc", "2")]
    ranks = ranked.start(2, words, kind)
    try:
        told = [rank.communicate(timeout=ranked.PATIENCE_S)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    return [(rank.returncode, text) for rank, text in zip(ranks, told, strict=True)]


@pytest.mark.parametrize("which", [[0], [0, 1]])
def test_an_error_is_told_once_and_written_down_however_long_that_takes(which: Sequence[int], tmp_path: Path) -> None:
    done = forked.run(two_ranks(tmp_path, SLOW, TROUBLE.replace("RANKS", str(list(which)))))
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("ZeroDivisionError: by design") == 1, done.stderr
    assert ("error: rank 0 failed, as it says itself" in done.stderr) == (len(which) == 1)
    assert "Traceback" not in done.stderr
    record = json.loads((tmp_path / "toy_cyclegan/0001/run.json").read_text())
    assert record["status"] == "failed"
    assert 'raise ZeroDivisionError("by design")' in record["traceback"]
    assert not (tmp_path / "toy_cyclegan/0002").exists()


def test_a_fault_is_told_once_where_the_rank_that_keeps_the_store_is_first(tmp_path: Path) -> None:
    late, wrong = "networks.D_a={type: toys.uneven, late_s: 1, late: 1}", "signals.rec_a=G_ba(D_b(fake_b))"
    (first, told), (second, silent) = unlaunched(two_ranks(tmp_path, "", late, wrong))
    assert (first, second) == (2, 2)
    assert told.count("error: ") == 1
    assert not silent


def test_the_rank_that_keeps_the_store_takes_its_word_along_where_it_fails_alone(tmp_path: Path) -> None:
    # Real ones: what of torch's log they keep back, they decide before torch comes.
    command = two_ranks(tmp_path, "", TROUBLE.replace("RANKS", "[0]"))
    (first, told), (second, missed) = unlaunched(command, subprocess.Popen)
    assert (first, second) == (4, 75)
    assert told.count("error: ") == missed.count("error: ") == 1
    assert "ZeroDivisionError: by design" in told
    assert "error: rank 0 is gone, and its word with it: see what it said" in missed
    assert "pytorch" not in missed  # places in its code, and its advice
    assert "GLHF" not in missed


def test_an_error_that_nobody_foresaw_is_told_once(tmp_path: Path) -> None:
    (first, told), (second, silent) = sorted(unlaunched(two_ranks(tmp_path, UNFORESEEN)), key=lambda end: -len(end[1]))
    assert (first, second) == (1, 1)
    assert "error: TypeError: list indices" in told
    assert "this should have been told better" in told
    assert not silent


def test_a_rank_that_dies_after_the_end_trains_nothing_anew(tmp_path: Path) -> None:
    done = forked.run(two_ranks(tmp_path, KILLED))
    assert (tmp_path / "killed").exists()
    assert done.returncode == 0, done.stderr
    assert "restart 1 of 3" in done.stderr
    assert "is finished: 2 of 2 steps" in done.stdout
    assert json.loads((tmp_path / "toy_cyclegan/0001/run.json").read_text())["status"] == "finished"
    assert not (tmp_path / "toy_cyclegan/0002").exists()


def test_a_second_ctrl_c_ends_ranks_at_once(tmp_path: Path) -> None:
    asleep = [tmp_path / f"asleep{rank}" for rank in range(2)]
    with subprocess.Popen(two_ranks(tmp_path, ASLEEP), stderr=subprocess.PIPE, text=True) as run:
        try:
            limit = time.monotonic() + ranked.PATIENCE_S
            while not all(path.exists() for path in asleep) and time.monotonic() < limit:
                time.sleep(0.05)
            for _ in range(2):
                run.send_signal(signal.SIGINT)
                time.sleep(1)
            _, told = run.communicate(timeout=ranked.PATIENCE_S)
        finally:
            run.kill()
    assert run.returncode == 130
    assert told.split() == ["interrupted"], told


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_launcher_that_a_signal_breaks_off_leaves_no_rank(tmp_path: Path) -> None:
    script = tmp_path / "broken_off.py"
    script.write_text(BROKEN_OFF)
    done = forked.run([sys.executable, str(script)])
    assert done.returncode == 130, done.stderr
    assert not Path("/proc", done.stdout.strip()).exists()


def test_a_killed_rank_is_named_where_nothing_restarts_it(tmp_path: Path) -> None:
    done = forked.run(two_ranks(tmp_path, KILLED, "--restarts", "0"))
    assert done.returncode == 128 + signal.SIGKILL
    assert "warning: rank 1 was killed by signal 9\n" in done.stderr


def test_a_launch_is_more_than_the_name_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "100")
    monkeypatch.setattr("os.getppid", lambda: 1)
    first = _ranks._this_launch()
    assert _ranks._this_launch() == first
    monkeypatch.setattr("os.getppid", lambda: 2)
    assert _ranks._this_launch() != first
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")  # nothing would restart them
    assert _ranks._this_launch() is None


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
