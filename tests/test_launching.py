"""Several ranks as users start them: killed, cut off, in disagreement. Real processes, and no wait without an end."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import forked
import pytest
import ranked
import torch
from forked import Forked
from safetensors.torch import load_file

TOY = [ranked.ROOT / "tests/engine/toy_cyclegan.yaml", "-p", ranked.TOYS, "callbacks.diary=null"]
STEPS, EVERY = 120, 20
LENGTH = [f"run.steps={STEPS}", f"run.checkpoint_every={EVERY}", "run.keep_last=3", "run.timeout_s=20"]
PATIENCE_S = ranked.PATIENCE_S
HEARD_WITHIN = timedelta(seconds=8)
"""Where a rank will be missed: soon, but not before a late one, on a busy machine, has come."""


def ganforge_run(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ganforge", "run", *map(str, (*TOY, *LENGTH, *arguments))]


Start = Callable[..., subprocess.Popen[str]]
Starts = Callable[..., list[subprocess.Popen[str]]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts commands; none, and nothing that it started in the test's folder, outlives the test."""
    started = []

    def begin(command: list[str], kind: type[subprocess.Popen] = subprocess.Popen, **options: Any) -> Any:
        started.append(kind(command, stdout=subprocess.PIPE, text=True, **options))
        return started[-1]

    yield begin
    for process in started:
        with process:
            process.kill()
    for number in processes_of(tmp_path):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


@pytest.fixture
def launch(tmp_path: Path, start: Start) -> Start:
    """Starts two ranks of the toy; real ones, unless told otherwise, whose command lines tell who they are."""
    command = functools.partial(ganforge_run, "--nproc", 2, "--out", tmp_path)
    return lambda *arguments, **more: start(command(*arguments), stderr=subprocess.STDOUT, **more)


def folder_of(out: Path) -> Path:
    return out / "toy_cyclegan/0001"


def wait_for_a_checkpoint(out: Path, *processes: subprocess.Popen[str]) -> None:
    """The first one, or a later one where this process was too slow to see it."""
    limit = time.monotonic() + PATIENCE_S
    while not list(folder_of(out).glob("checkpoints/step_*")):
        assert time.monotonic() < limit, "no checkpoint came"
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes]
        time.sleep(0.02)


def processes_of(out: Path) -> list[int]:
    """Those, but for the launcher, that write into a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if str(out) in words and "--nproc" not in words:
            found.append(int(place.name))
    return sorted(found)


def assert_gone(out: Path) -> None:
    limit = time.monotonic() + PATIENCE_S
    while processes_of(out):
        assert time.monotonic() < limit, "processes are left"
        time.sleep(0.1)


def assert_same_end(one: Path, other: Path) -> None:
    last = f"checkpoints/step_{STEPS:07d}"
    for name in ("networks", "ema", "training"):
        ours, theirs = (load_file(folder_of(out) / last / f"{name}.safetensors") for out in (one, other))
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    ours, theirs = ((folder_of(out) / last / "state.json").read_text() for out in (one, other))
    assert ours == theirs


@pytest.fixture(scope="module")
def straight(once: Callable[..., Path]) -> Path:
    """Two ranks that nothing happens to."""

    def train(out: Path) -> None:
        run = forked.run(ganforge_run("--nproc", 2, "--out", out))
        assert run.returncode == 0, run.stderr

    return once("straight", train)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_rank_comes_back_and_ends_like_one_that_was_not(launch: Start, tmp_path: Path, straight: Path) -> None:
    run = launch()
    wait_for_a_checkpoint(tmp_path, run)
    os.kill(processes_of(tmp_path)[-1], signal.SIGKILL)
    told, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, told
    assert "was killed by signal 9: going on from the last checkpoint, restart 1 of 3" in told
    assert "Traceback" not in told
    assert_gone(tmp_path)
    assert_same_end(tmp_path, straight)
    assert not folder_of(tmp_path).with_name("0002").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_launcher_that_is_killed_leaves_no_orphans(launch: Start, tmp_path: Path) -> None:
    run = launch("run.steps=1000000")
    wait_for_a_checkpoint(tmp_path, run)
    assert len(processes_of(tmp_path)) == 2
    run.kill()
    run.communicate()
    assert_gone(tmp_path)
    assert json.loads((folder_of(tmp_path) / "run.json").read_text())["status"] == "interrupted"


def test_a_launcher_that_is_interrupted_saves(launch: Start, tmp_path: Path) -> None:
    run = launch("run.steps=1000000", kind=Forked)
    wait_for_a_checkpoint(tmp_path, run)
    run.send_signal(signal.SIGINT)
    told, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 130, told
    record = json.loads((folder_of(tmp_path) / "run.json").read_text())
    assert (record["status"], record["checkpoint"]) == ("interrupted", f"step_{record['step']:07d}")
    assert "Traceback" not in told


def ended(*ranks: subprocess.Popen[str]) -> list[tuple[int, str]]:
    """The exit code of each rank, and what it told on standard error."""
    told = [rank.communicate(timeout=PATIENCE_S)[1] for rank in ranks]
    return [(rank.returncode, text) for rank, text in zip(ranks, told, strict=True)]


@pytest.fixture
def two_ranks(start: Start) -> Starts:
    """Starts a command for each rank."""

    def begin(*commands: list[str]) -> list[subprocess.Popen[str]]:
        port = ranked.free_port()
        return [
            start(command, Forked, env=ranked.environment(rank, 2, port), stderr=subprocess.PIPE)
            for rank, command in enumerate(commands)
        ]

    return begin


def told_once(code: int, *ranks: subprocess.Popen[str]) -> str:
    """What all ranks end with, and one of them tells."""
    codes, texts = zip(*ended(*ranks), strict=True)
    assert set(codes) == {code}, texts
    told = "".join(texts)
    assert told.count("error: ") == 1, texts
    return told


def test_ranks_with_other_recipes_or_plugins_are_told_by_name(two_ranks: Starts, tmp_path: Path) -> None:
    changed = tmp_path / "toys.py"
    changed.write_text(f"{ranked.TOYS.read_text()}\n# another version\n")
    ours = ganforge_run("--out", tmp_path)
    theirs = [str(changed) if word == str(ranked.TOYS) else word for word in ganforge_run("--out", tmp_path)]
    told = told_once(2, *two_ranks(ours, [*theirs, "players.generators.ema.decay=0.5"]))
    assert "recipe players.generators.ema.decay: 0.5 instead of 0.9" in told
    assert "rank 1 on" in told
    assert "code of toys: " in told
    assert not (tmp_path / "toy_cyclegan").exists()


def test_ranks_with_other_data_are_told_by_name(two_ranks: Starts, tmp_path: Path, picture_folders: Path) -> None:
    theirs = shutil.copytree(picture_folders, tmp_path / "copy")
    (theirs / "trainA/3.jpg").write_bytes((theirs / "trainA/3.jpg").read_bytes() + b"\0")
    recipe = ranked.ROOT / "recipes/tiny/cyclegan_horse2zebra.yaml"
    settings = ["run.device=cpu", "data.download=null", "--out", str(tmp_path)]
    size = (picture_folders / "trainA/3.jpg").stat().st_size
    command = [sys.executable, "-m", "ganforge", "run", str(recipe), *settings]
    ranks = two_ranks([*command, f"data.root={picture_folders}"], [*command, f"data.root={theirs}"])
    told = told_once(2, *ranks)
    assert f"data trainA/3.jpg: {size + 1} bytes instead of {size} bytes" in told
    assert not list(tmp_path.glob("cyclegan_horse2zebra/*"))


TROUBLE = "phases.0.losses.adv_ab={type: toys.trouble, input: fake_b, kind: KIND}"


def test_a_bad_loss_of_one_rank_ends_all_of_them(two_ranks: Starts, tmp_path: Path) -> None:
    command = ganforge_run("--out", tmp_path, TROUBLE.replace("KIND", "nan"))
    told = told_once(4, *two_ranks(command, command))
    assert "error: rank 1: step 0: the loss 'adv_ab' of player 'generators' is nan" in told


def test_an_error_of_one_rank_is_told_and_kept(two_ranks: Starts, tmp_path: Path) -> None:
    command = ganforge_run("--out", tmp_path, TROUBLE.replace("KIND", "error"))
    (first, told), (second, own) = ended(*two_ranks(command, command))
    assert (first, second) == (75, 4)
    assert "ZeroDivisionError: by design" in own
    assert told.endswith("error: rank 1 failed, as it says itself\n")
    assert told.count("error: ") == 1
    assert "Traceback" not in own
    record = json.loads((folder_of(tmp_path) / "run.json").read_text())
    assert "ZeroDivisionError: by design" in record["error"]
    assert 'raise ZeroDivisionError("by design")' in record["traceback"]


def test_a_bad_loss_of_one_rank_is_skipped_by_all(two_ranks: Starts, tmp_path: Path) -> None:
    settings = [TROUBLE.replace("KIND", "nan"), "run.on_bad_loss=skip", "run.steps=4"]
    command = ganforge_run("--out", tmp_path, *settings)
    (first, told), (second, other) = ended(*two_ranks(command, command))
    assert (first, second) == (4, 4)  # it is bad in every step, and both give up in the same one
    assert "its last 4 phases were left out" in told + other


def test_a_fault_of_the_recipe_is_told_once(tmp_path: Path) -> None:
    """Even one that shows only when its shapes are checked, by each rank, and by the one that tells it last."""
    late, wrong = "networks.D_a={type: toys.uneven, late_s: 2}", "signals.rec_a=G_ba(D_b(fake_b))"
    told = forked.run(ganforge_run("--out", tmp_path, "--nproc", 2, late, wrong))
    assert told.returncode == 2
    assert told.stderr.count("error: ") == 1, told.stderr
    assert "'G_ba(D_b(fake_b))' cannot be computed" in told.stderr


def test_a_fault_that_only_one_rank_finds_is_told_by_it(two_ranks: Starts, tmp_path: Path) -> None:
    broken = "networks.D_a={type: toys.uneven, broken: true}"
    command = ganforge_run("--out", tmp_path, broken, f"run.timeout_s={HEARD_WITHIN.seconds}")
    (first, lost), (second, told) = ended(*two_ranks(command, command))
    assert (first, second) == (75, 2)
    assert "cannot be computed" in told
    assert "Traceback" not in told + lost


def test_more_ranks_than_shares_are_refused(tmp_path: Path) -> None:
    told = forked.run(ganforge_run("--out", tmp_path, "--nproc", 3, "run.lanes=2"))
    assert told.returncode == 2
    assert "run.lanes is 2 lanes, which cannot be spread over 3 ranks" in told.stderr


# Names of this process: another suite may run beside it. Those of interfaces have at most 15 characters.
BRIDGE, *LINKS = (f"gf{kind}{os.getpid()}" for kind in ("br", "v0-", "v1-"))
HOSTS = tuple(f"ganforge-{os.getpid()}-{number}" for number in range(2))


@pytest.fixture
def hosts() -> Iterator[Callable[[str], None]]:
    """Two hosts with one link; gives what sets the second one's `up` or `down`."""

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def remove() -> None:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "del", host], capture_output=True, check=False)
        for interface in (*LINKS, BRIDGE):
            subprocess.run(["ip", "link", "del", interface], capture_output=True, check=False)

    if not shutil.which("ip"):
        pytest.skip("no iproute2 here")
    remove()
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "set", BRIDGE, "up")
        for number, (host, link) in enumerate(zip(HOSTS, LINKS, strict=True)):
            ip("netns", "add", host)
            ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", host)
            ip("link", "set", link, "master", BRIDGE, "up")
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "eth0")
    except subprocess.CalledProcessError:
        remove()
        pytest.skip("no network namespaces here: it takes root")
    yield lambda state: ip("link", "set", LINKS[1], state)
    remove()


def test_a_link_that_is_cut_ends_both_hosts_and_a_resume_ends_alike(
    hosts: Callable[[str], None], start: Start, tmp_path: Path, straight: Path
) -> None:
    def on_hosts(*arguments: object) -> list[subprocess.Popen[str]]:
        """A rank on each host."""
        port = ranked.free_port()
        told = {"MASTER_ADDR": "10.77.0.1", "GLOO_SOCKET_IFNAME": "eth0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        return [
            start(
                ["ip", "netns", "exec", host, *ganforge_run("--out", tmp_path, *arguments)],
                env={**ranked.environment(rank, 2, port), **told},
                stderr=subprocess.PIPE,
            )
            for rank, host in enumerate(HOSTS)
        ]

    ranks = on_hosts(f"run.timeout_s={HEARD_WITHIN.seconds}")
    wait_for_a_checkpoint(tmp_path, *ranks)
    hosts("down")
    cut = time.monotonic()
    (first, told), (second, _) = ended(*ranks)
    assert (first, second) == (75, 75), told
    assert time.monotonic() - cut < 60
    assert f"no rank was heard for {HEARD_WITHIN}" in told
    assert "Traceback" not in told
    assert json.loads((folder_of(tmp_path) / "run.json").read_text())["status"] == "failed"
    hosts("up")
    again = ended(*on_hosts("--resume"))
    assert [code for code, _ in again] == [0, 0], again
    assert_same_end(tmp_path, straight)
