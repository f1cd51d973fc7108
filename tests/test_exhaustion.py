"""What a machine runs out of is told with figures and cures, whichever library noticed it."""

from __future__ import annotations

import errno
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from misbehaving import ODD, outcome

from ganforge.failures.exhaustion import exhausted, lost_worker_told, machine_memory, readable

CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB of which 3.20 GiB is "
    "free. Including non-PyTorch memory, this process has 12.00 GiB memory in use."
)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError(f"{CPU}1099511627776 bytes. Error code 12 (Cannot allocate memory)"), "the machine ran out of "),
        (RuntimeError(f"{CPU}1099511627776 bytes."), "1 TiB were asked for; this machine has "),
        (RuntimeError("Storage size calculation overflowed with sizes=[2, 4]"), "more was asked for than a number can"),
        (MemoryError("Unable to allocate 8.00 GiB for an array with shape (1073741824,)"), "8 GiB were asked for"),
        (MemoryError(), "the machine ran out of memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "the machine ran out of memory"),
        (torch.OutOfMemoryError(CUDA), "20 GiB were asked for; the device has 15.77 GiB, 3.20 GiB of them free"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (RuntimeError("received 0 items of ancdata"), "too many files are open: this process may have "),
        (RuntimeError("Too many open files. Communication with the workers is no longer possible."), "data.workers"),
        (RuntimeError("unable to open shared memory object </torch_1_2_3> in read-write mode"), "/dev/shm"),
        (RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)"), "shared memory is full"),
        (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), "TMPDIR="),
        (OSError(errno.ENOSPC, "No space left on device", f"{tempfile.gettempdir()}/pymp-1/x"), "TMPDIR="),
        (OSError(errno.ENOSPC, "No space left on device", "/elsewhere/x"), "the disk is full at /elsewhere/x"),
    ],
)
def test_what_has_run_out_is_recognised(error: Exception, told: str) -> None:
    assert told in "\n".join(exhausted(error) or ())
    outer = ValueError("a picture cannot be read")
    outer.__cause__ = error
    assert told in "\n".join(exhausted(outer) or ())


@pytest.mark.parametrize("error", [RuntimeError("by design"), OSError("by design"), FileNotFoundError(2, "no", "x")])
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert exhausted(error) is None


def test_figures_are_readable() -> None:
    assert [readable(size) for size in (12, 2048, 3 * 2**29, 2**50)] == ["12 B", "2 KiB", "1.5 GiB", "1 PiB"]
    assert machine_memory().startswith("this machine has ")


@pytest.mark.parametrize(
    ("exitcode", "told"),
    [
        (-signal.SIGKILL, ("was killed by signal 9 (SIGKILL)", "memory runs out", "lower data.workers")),
        (-signal.SIGBUS, ("SIGBUS", "shared memory", "--shm-size")),
        (-signal.SIGSEGV, ("SIGSEGV", "data.workers=0", "ganforge data inspect")),
        (3, ("ended by itself with exit code 3", "data.workers=0")),
    ],
)
def test_a_worker_that_is_gone_is_told_with_the_cure_of_its_signal(exitcode: int, told: tuple[str, ...]) -> None:
    said = lost_worker_told(7, exitcode)
    assert said.startswith("a loading worker, process 7, ")
    assert all(each in said for each in told)


# Through the commands

MEMORY: dict[str, Any] = {"action": "memory"}
ASKED = "1 PiB were asked for; this machine has "


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of sound parts; beside it a picture."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("sound")
    code, told = outcome("run", ODD / "odd.yaml", "--out", folder, "run.steps=1")
    assert code == 0, told
    Image.new("RGB", (8, 8)).save(folder / "picture.png")
    return folder / "odd" / "0001"


@pytest.mark.parametrize(
    ("place", "at"), [("loss.call", 3), ("op class.__call__", 3), ("optimizer.step", 14), ("samples.sample", 4)]
)
def test_memory_that_runs_out_in_training_ends_with_4_and_the_cures_of_gpus(
    place: str, at: int, tmp_path: Path
) -> None:
    few = ("run.images=[]", "metrics=null")
    code, told = outcome("run", ODD / "odd.yaml", "--out", tmp_path, *few, odd={"place": place, "at": at, **MEMORY})
    assert code == 4, told
    assert "error: step " in told
    assert "the machine ran out of memory\n  lower data.batch_size (run.accumulate keeps" in told
    assert ASKED in told
    assert "Traceback" not in told


def test_memory_that_runs_out_in_a_worker_is_told_alike(tmp_path: Path) -> None:
    code, told = outcome(
        *("run", ODD / "odd.yaml", "--out", tmp_path, "data.workers=1", "run.images=[]", "metrics=null"),
        odd={"place": "samples.sample", "at": 4, **MEMORY},
    )
    assert code == 4, told
    assert "the machine ran out of memory\n  lower data.batch_size" in told
    assert ASKED in told


def test_memory_that_a_constructor_asks_for_is_told_at_its_place() -> None:
    code, told = outcome("check", ODD / "odd.yaml", odd={"place": "callback.__init__", **MEMORY})
    assert code == 0, told  # nothing builds it
    code, told = outcome("check", ODD / "odd.yaml", odd={"place": "dataset.__init__", **MEMORY})
    assert code == 2, told
    assert f"{ODD / 'odd.yaml'}:2:14: pictures: the machine ran out of memory\n" in told
    assert ASKED in told


def test_translate_suggests_tiles_and_other_commands_what_helps_there(run: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out", "--signal", "fake")
    odd = {"place": "network.forward", "at": 4, **MEMORY}
    code, told = outcome("translate", run, run.parents[1] / "picture.png", *out, odd=odd)
    assert code == 3, told
    assert "the machine ran out of memory\n  try smaller tiles (--tile 256)" in told
    assert ASKED in told
    code, told = outcome("evaluate", run, "-o", tmp_path / "card", odd={"place": "metric.call", **MEMORY})
    assert code == 2, told  # nothing but the part is to blame
    assert "the machine ran out of memory" in told
    assert ASKED in told
    assert "odd.py" in told


# Workers

KILLER = """
import os
import torch.multiprocessing as processes
from torch import nn
from ganforge import Callback, hookimpl

class Net(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 3, 1))

class Killer(Callback):
    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def step_ended(self, run) -> None:
        if run.step == self.step:
            worker = processes.active_children()[0]
            os.kill(worker.pid, self.number)
            worker.join()

@hookimpl
def register_callbacks(register):
    register("killer", Killer)

@hookimpl
def register_networks(register):
    register("net", Net)
"""
TINY = """
data: {type: shapes, size_px: 16, count: 8, batch_size: 2, workers: 2}
networks: {G: {type: killer.net}}
signals: {fake: G(real_a)}
players: {g: {networks: [G], optimizer: {type: adam, lr: 1e-3}}}
phases: [{train: g, losses: {far: {type: l1, input: fake, target: real_b}}}]
callbacks: {progress: null, tensorboard: null, panels: null, doctor: null}
run: {steps: 8, device: cpu, images: []}
"""


def test_a_worker_that_is_killed_ends_the_run_with_4_after_saving(
    in_tmp: Path,
    ganforge: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (in_tmp / "killer.py").write_text(KILLER)
    (in_tmp / "tiny.yaml").write_text(TINY)
    monkeypatch.setenv("GANFORGE_PLUGINS", "")
    killing = "callbacks.killer={type: killer.killer, step: 3, number: 9}"
    done = forked.run([sys.executable, "-m", "ganforge", "run", "tiny.yaml", "-p", "killer.py", killing])
    assert done.returncode == 4, done.stderr
    error = done.stderr[done.stderr.index("error: ") :]
    assert "step 3: a loading worker, process " in error
    assert "was killed by signal 9 (SIGKILL)" in error
    assert "step 3 is saved: --resume goes on from there" in error
    assert "Traceback" not in done.stderr
    assert "DataLoader" not in done.stderr
    folder = in_tmp / "runs" / "tiny"
    assert (folder / "0001" / "checkpoints" / "step_0000003" / "manifest.json").is_file()
    assert json.loads((folder / "0001" / "run.json").read_text())["status"] == "failed"
    again = ganforge("run", "tiny.yaml", "-p", "killer.py", "--resume", killing)
    assert again.code == 0, again.err
    assert ganforge("run", "tiny.yaml", "-p", "killer.py", "data.workers=0").code == 0
    ours, theirs = (
        (folder / number / "checkpoints" / "step_0000008" / "networks.safetensors").read_bytes()
        for number in ("0001", "0002")
    )
    assert ours == theirs


def test_the_handler_of_a_childs_end_stays(tmp_path: Path) -> None:
    """Torch's own raises wherever the training is just then, in the midst of a step."""
    before = signal.getsignal(signal.SIGCHLD)
    code, told = outcome("run", ODD / "odd.yaml", "--out", tmp_path, "data.workers=1", "run.images=[]", "metrics=null")
    assert code == 0, told
    assert signal.getsignal(signal.SIGCHLD) == before
