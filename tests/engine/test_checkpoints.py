"""A checkpoint is whole, or it is not there; and what is damaged is found and named."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganforge.core.randomness import random_state, restore_random_state, seed_all
from ganforge.core.serialise import put_together, take_apart
from ganforge.errors import EnvironmentFault
from ganforge.runs import run_folder
from ganforge.runs.checkpoint import files as module
from ganforge.runs.checkpoint.files import Checkpoint, checkpoints, clean, load_checkpoint, prune, save_checkpoint
from ganforge.runs.run import Run


def checkpoint(value: float = 1.0) -> Checkpoint:
    weight = torch.full((2, 3), value, dtype=torch.float64)
    training = {"step": 3, "optimizer": {"state": {0: {"exp_avg": weight / 3}}, "betas": (0.5, 0.999)}}
    return Checkpoint({"G.weight": weight}, {"G.weight": weight * 2}, training)


# What a state is made of


@pytest.mark.parametrize(
    "state",
    [
        {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}},
        {"$tensor": 1, "list": [1, 2.5, None, True, "text"], "tuple": (1, (2,))},
        {0: {"betas": (0.5, 0.999)}, (1, 2): "keys that are no strings"},
        {"rate": 0.1 + 0.2, "inf": float("inf"), "big": 2**62},
        {
            "bf16": torch.randn(3).bfloat16(),
            "scalar": torch.tensor(7),
            "none": torch.empty(0, 3),
            "b": torch.tensor([True]),
        },
    ],
)
def test_a_state_comes_back_as_it_was(state: Any) -> None:
    tensors: dict[str, torch.Tensor] = {}
    plain = json.loads(json.dumps(take_apart(state, "training", tensors)))
    back = put_together(plain, tensors)
    torch.testing.assert_close(back, state, rtol=0, atol=0) if "bf16" in state else None
    assert str(back) == str(state)
    assert type(back) is dict


def test_a_state_holds_no_objects() -> None:
    with pytest.raises(TypeError, match=r"^ops\.past: .* not Random$"):
        take_apart({"past": random.Random()}, "ops", {})


def test_every_global_random_generator_goes_back() -> None:
    seed_all(5)
    random.gauss(0, 1)
    tensors: dict[str, torch.Tensor] = {}
    state = json.loads(json.dumps(take_apart(random_state(), "random", tensors)))
    drawn = [random.gauss(0, 1), np.random.randn(), torch.randn(3).tolist()]
    restore_random_state(put_together(state, tensors))
    assert [random.gauss(0, 1), np.random.randn(), torch.randn(3).tolist()] == drawn


# Damage


def test_a_checkpoint_comes_back_bit_by_bit(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 3, checkpoint(1 / 3))
    assert path.name == "step_0000003"
    assert sorted(file.name for file in path.iterdir()) == [
        "ema.safetensors",
        "manifest.json",
        "networks.safetensors",
        "state.json",
        "training.safetensors",
    ]
    back, saved = load_checkpoint(path), checkpoint(1 / 3)
    assert torch.equal(back.networks["G.weight"], saved.networks["G.weight"])
    assert torch.equal(back.ema["G.weight"], saved.ema["G.weight"])
    assert torch.equal(
        back.training["optimizer"]["state"][0]["exp_avg"], torch.full((2, 3), 1 / 9, dtype=torch.float64)
    )
    assert back.training["optimizer"]["betas"] == (0.5, 0.999)
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in path.iterdir())


@pytest.mark.parametrize(
    "file", ["ema.safetensors", "manifest.json", "networks.safetensors", "state.json", "training.safetensors"]
)
def test_any_byte_that_changed_is_found_and_the_file_named(file: str, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 3, checkpoint()) / file
    whole = path.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(EnvironmentFault, match=r"step_0000003 is damaged: .*(json|safetensors)") as fault:
            load_checkpoint(path.parent)
        assert "--resume takes the one before it" in str(fault.value)
    for length in (0, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        if file != "manifest.json" or length < len(whole) - 1:
            with pytest.raises(EnvironmentFault, match=file):
                load_checkpoint(path.parent)
    path.unlink()
    if file == "manifest.json":
        assert checkpoints(tmp_path) == []
    else:
        with pytest.raises(EnvironmentFault, match=file):
            load_checkpoint(path.parent)


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORMAT", 2)
    path = save_checkpoint(tmp_path, 3, checkpoint())
    monkeypatch.undo()
    with pytest.raises(EnvironmentFault, match="format 2, and this ganforge reads format 1: upgrade"):
        load_checkpoint(path)


# Crashes


class Crash(BaseException):
    """The power goes."""


def crash_at(monkeypatch: pytest.MonkeyPatch, call: int) -> list[str]:
    """Let the machine stop at the n-th time that a file is flushed or renamed; returns what was called."""
    calls: list[str] = []

    def crashing(function: Any, name: str) -> Any:
        def wrapped(*args: Any) -> Any:
            calls.append(name)
            if len(calls) == call:
                raise Crash
            return function(*args)

        return wrapped

    monkeypatch.setattr(os, "fsync", crashing(os.fsync, "fsync"))
    monkeypatch.setattr(Path, "rename", crashing(Path.rename, "rename"))
    return calls


def save_and_prune(folder: Path) -> None:
    save_checkpoint(folder, 4, checkpoint(4.0))
    prune(folder, keep_last=1, keep_every=None)


def test_whenever_the_machine_stops_a_whole_checkpoint_is_left(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        save_checkpoint(tmp_path / "count", 3, checkpoint(3.0))
        calls = crash_at(patch, 0)
        save_and_prune(tmp_path / "count")
    assert calls == ["fsync"] * 6 + ["rename", "fsync", "rename"]  # five files, their folder; rename; the parent; prune
    for call in range(1, len(calls) + 1):
        folder = tmp_path / str(call)
        save_checkpoint(folder, 3, checkpoint(3.0))
        with pytest.MonkeyPatch.context() as patch:
            crash_at(patch, call)
            with pytest.raises(Crash):
                save_and_prune(folder)
        newest = 4 if call > 7 else 3
        for path in checkpoints(folder):
            load_checkpoint(path)
        assert float(load_checkpoint(checkpoints(folder)[-1]).networks["G.weight"][0, 0]) == newest
        clean(folder)
        assert all(path.name.startswith("step_") for path in folder.iterdir())
        save_and_prune(folder)
        assert [path.name for path in folder.iterdir()] == ["step_0000004"]


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, 3, checkpoint())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(EnvironmentFault, match=r"step 4 could not be written .*No space left"):
        save_checkpoint(tmp_path, 4, checkpoint())
    assert [path.name for path in tmp_path.iterdir()] == ["step_0000003"]


def test_a_run_on_a_full_disk_ends_as_the_machines_fault(
    start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    saved: list[int] = []

    def filling(*args: Any, **kwargs: Any) -> Any:
        saved.append(1)
        if len(saved) > 3:  # the second checkpoint; from then on nothing can be written
            raise OSError(errno.ENOSPC, "No space left on device")
        return save_file(*args, **kwargs)

    save_file, write_text = module.save_file, run_folder.write_text

    def writing(*args: Any) -> None:
        if len(saved) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_text(*args)

    monkeypatch.setattr(module, "save_file", filling)
    monkeypatch.setattr(run_folder, "write_text", writing)
    with pytest.raises(EnvironmentFault, match="step 8 could not be written") as fault:
        run.train()
    assert fault.value.exit_code == 3
    assert run.callbacks[0].ended == "failed"
    monkeypatch.undo()
    resumed = start()
    assert resumed.resumed_at == 4
    assert resumed.train() == "finished"


# Which are kept


def test_the_last_ones_and_every_so_many_are_kept(tmp_path: Path) -> None:
    for step in range(1, 10):
        save_checkpoint(tmp_path, step, checkpoint())
        prune(tmp_path, keep_last=2, keep_every=4)
    assert [path.name for path in checkpoints(tmp_path)] == ["step_0000004", "step_0000008", "step_0000009"]
    assert len(list(tmp_path.iterdir())) == 3


def test_steps_beyond_seven_digits_are_in_order(tmp_path: Path) -> None:
    for step in (9_999_999, 10_000_000, 123):
        save_checkpoint(tmp_path, step, checkpoint())
    assert [module.step_of(path) for path in checkpoints(tmp_path)] == [123, 9_999_999, 10_000_000]


def test_a_run_keeps_what_its_recipe_says(start: Callable[..., Run]) -> None:
    run = start("run.checkpoint_every=3", "run.keep_last=1", "run.keep_every=6")
    run.train()
    kept = [path.name for path in checkpoints(run.folder / "checkpoints")]
    assert kept == ["step_0000006", "step_0000012"]
    assert run.record["checkpoint"] == "step_0000012"
