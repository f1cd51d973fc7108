"""Several ranks as users start them: killed, cut off, in disagreement. Real processes, and no wait without an end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ranked
import torch
from safetensors.torch import load_file

TOY = [ranked.ROOT / "tests/engine/toy_cyclegan.yaml", "-p", ranked.TOYS, "callbacks.diary=null"]
STEPS, EVERY = 120, 20
LENGTH = [f"run.steps={STEPS}", f"run.checkpoint_every={EVERY}", "run.keep_last=3", "run.timeout_s=20"]
PATIENCE_S = 120


def ganforge_run(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ganforge", "run", *map(str, (*TOY, *LENGTH, *arguments))]


def launch(out: Path, *arguments: object) -> subprocess.Popen[str]:
    command = ganforge_run("--nproc", 2, "--out", out, *arguments)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def folder_of(out: Path) -> Path:
    return out / "toy_cyclegan/0001"


def wait_for(path: Path, *processes: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < limit, f"{path} never came"
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
    limit = time.monotonic() + 30
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
        run = launch(out)
        told, _ = run.communicate(timeout=PATIENCE_S)
        assert run.returncode == 0, told

    return once("straight", train)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_rank_comes_back_and_ends_like_one_that_was_not(tmp_path: Path, straight: Path) -> None:
    run = launch(tmp_path)
    wait_for(folder_of(tmp_path) / f"checkpoints/step_{2 * EVERY:07d}", run)
    os.kill(processes_of(tmp_path)[-1], signal.SIGKILL)
    told, _ = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 0, told
    assert "was killed by signal 9: going on from the last checkpoint, restart 1 of 3" in told
    assert "Traceback" not in told
    assert_gone(tmp_path)
    assert_same_end(tmp_path, straight)
    assert not folder_of(tmp_path).with_name("0002").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_launcher_that_is_killed_leaves_no_orphans(tmp_path: Path) -> None:
    run = launch(tmp_path, "run.steps=1000000")
    wait_for(folder_of(tmp_path) / f"checkpoints/step_{EVERY:07d}", run)
    assert len(processes_of(tmp_path)) == 2
    run.kill()
    run.communicate()
    assert_gone(tmp_path)
    assert json.loads((folder_of(tmp_path) / "run.json").read_text())["status"] == "interrupted"


def test_a_launcher_that_is_interrupted_saves(tmp_path: Path) -> None:
    run = launch(tmp_path, "run.steps=1000000")
    wait_for(folder_of(tmp_path) / f"checkpoints/step_{EVERY:07d}", run)
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


def two_ranks(*commands: list[str]) -> list[subprocess.Popen[str]]:
    port = ranked.free_port()
    return [
        subprocess.Popen(
            command, env=ranked.environment(rank, 2, port), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank, command in enumerate(commands)
    ]


def test_ranks_with_other_recipes_or_plugins_are_told_by_name(tmp_path: Path) -> None:
    changed = tmp_path / "toys.py"
    changed.write_text(f"{ranked.TOYS.read_text()}\n# another version\n")
    ours = ganforge_run("--out", tmp_path)
    theirs = [str(changed) if word == str(ranked.TOYS) else word for word in ganforge_run("--out", tmp_path)]
    (first, told), (second, silent) = ended(*two_ranks(ours, [*theirs, "players.generators.ema.decay=0.5"]))
    assert (first, second) == (2, 2)
    assert "recipe players.generators.ema.decay: 0.5 instead of 0.9" in told
    assert "rank 1 on" in told
    assert "code of toys: " in told
    assert "error" not in silent  # one of them tells
    assert not (tmp_path / "toy_cyclegan").exists()


def test_ranks_with_other_data_are_told_by_name(tmp_path: Path, picture_folders: Path) -> None:
    theirs = shutil.copytree(picture_folders, tmp_path / "copy")
    (theirs / "trainA/3.jpg").write_bytes((theirs / "trainA/3.jpg").read_bytes() + b"\0")
    recipe = ranked.ROOT / "recipes/tiny/cyclegan_horse2zebra.yaml"
    settings = ["run.device=cpu", "data.download=null", "--out", str(tmp_path)]
    size = (theirs / "trainA/3.jpg").stat().st_size
    command = [sys.executable, "-m", "ganforge", "run", str(recipe), *settings]
    ranks = two_ranks([*command, f"data.root={picture_folders}"], [*command, f"data.root={theirs}"])
    (first, told), (second, _) = ended(*ranks)
    assert (first, second) == (2, 2)
    assert f"data trainA/3.jpg: {size} bytes instead of absent" in told or f"{size} bytes" in told
    assert not list(tmp_path.glob("cyclegan_horse2zebra/*"))


TROUBLE = "phases.0.losses.adv_ab={type: toys.trouble, input: fake_b, kind: KIND}"


def test_a_bad_loss_of_one_rank_ends_all_of_them(tmp_path: Path) -> None:
    command = ganforge_run("--out", tmp_path, TROUBLE.replace("KIND", "nan"))
    (first, told), (second, silent) = ended(*two_ranks(command, command))
    assert (first, second) == (4, 4)
    assert "error: rank 1: step 0: the loss 'adv_ab' of player 'generators' is nan" in told
    assert "error" not in silent


def test_an_error_of_one_rank_is_told_and_kept(tmp_path: Path) -> None:
    command = ganforge_run("--out", tmp_path, TROUBLE.replace("KIND", "error"))
    (first, told), (second, own) = ended(*two_ranks(command, command))
    assert (first, second) == (75, 4)
    assert "ZeroDivisionError: by design" in own
    assert "rank 1 on" in told
    assert "Traceback" not in told + own
    record = json.loads((folder_of(tmp_path) / "run.json").read_text())
    assert "ZeroDivisionError: by design" in record["error"]
    assert 'raise ZeroDivisionError("by design")' in record["traceback"]


def test_a_bad_loss_of_one_rank_is_skipped_by_all(tmp_path: Path) -> None:
    settings = [TROUBLE.replace("KIND", "nan"), "run.on_bad_loss=skip", "run.steps=4"]
    command = ganforge_run("--out", tmp_path, *settings)
    assert [code for code, _ in ended(*two_ranks(command, command))] == [0, 0]


def test_a_fault_of_the_recipe_is_told_once(tmp_path: Path) -> None:
    """Even one that shows only when its shapes are checked, by each rank, and by the one that tells it last."""
    late, wrong = "networks.D_a={type: toys.uneven, late_s: 2}", "signals.rec_a=G_ba(D_b(fake_b))"
    told = subprocess.run(
        ganforge_run("--out", tmp_path, "--nproc", 2, late, wrong), capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert told.stderr.count("error: ") == 1, told.stderr
    assert "'G_ba(D_b(fake_b))' cannot be computed" in told.stderr


def test_a_fault_that_only_one_rank_finds_is_told_by_it(tmp_path: Path) -> None:
    broken = "networks.D_a={type: toys.uneven, broken: true}"
    command = ganforge_run("--out", tmp_path, broken, "run.timeout_s=4")
    (first, lost), (second, told) = ended(*two_ranks(command, command))
    assert (first, second) == (75, 2)
    assert "cannot be computed" in told
    assert "Traceback" not in told + lost


def test_more_ranks_than_shares_are_refused(tmp_path: Path) -> None:
    told = subprocess.run(
        ganforge_run("--out", tmp_path, "--nproc", 3, "run.lanes=2"), capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert "run.lanes is 2 lanes, which cannot be spread over 3 ranks" in told.stderr


BRIDGE, HOSTS = "ganforge-br", ("ganforge-h0", "ganforge-h1")


@pytest.fixture
def hosts() -> Iterator[Callable[[str], None]]:
    """Two hosts with one link; gives what sets the second one's `up` or `down`."""

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def remove() -> None:
        for number, host in enumerate(HOSTS):
            subprocess.run(["ip", "netns", "del", host], capture_output=True, check=False)
            subprocess.run(["ip", "link", "del", f"ganforge-v{number}"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)

    remove()
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "set", BRIDGE, "up")
        for number, host in enumerate(HOSTS):
            ip("netns", "add", host)
            ip("link", "add", f"ganforge-v{number}", "type", "veth", "peer", "name", "eth0", "netns", host)
            ip("link", "set", f"ganforge-v{number}", "master", BRIDGE, "up")
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "eth0")
    except (OSError, subprocess.CalledProcessError):
        remove()
        pytest.skip("no network namespaces here: it takes root, and iproute2")
    yield lambda state: ip("link", "set", "ganforge-v1", state)
    remove()


def on_hosts(out: Path, *arguments: object) -> list[subprocess.Popen[str]]:
    """A rank on each host."""
    told = {"MASTER_ADDR": "10.77.0.1", "GLOO_SOCKET_IFNAME": "eth0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    return [
        subprocess.Popen(
            ["ip", "netns", "exec", host, *ganforge_run("--out", out, *arguments)],
            env={**ranked.environment(rank, 2, 29511), **told},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, host in enumerate(HOSTS)
    ]


def test_a_link_that_is_cut_ends_both_hosts_and_a_resume_ends_alike(
    hosts: Callable[[str], None], tmp_path: Path, straight: Path
) -> None:
    quick = "run.timeout_s=3"
    ranks = on_hosts(tmp_path, quick)
    wait_for(folder_of(tmp_path) / f"checkpoints/step_{2 * EVERY:07d}", *ranks)
    hosts("down")
    cut = time.monotonic()
    (first, told), (second, _) = ended(*ranks)
    assert (first, second) == (75, 75), told
    assert time.monotonic() - cut < 60
    assert "no rank was heard for 0:00:03" in told
    assert "Traceback" not in told
    assert json.loads((folder_of(tmp_path) / "run.json").read_text())["status"] == "failed"
    hosts("up")
    again = ended(*on_hosts(tmp_path, "--resume"))
    assert [code for code, _ in again] == [0, 0], again
    assert_same_end(tmp_path, straight)
