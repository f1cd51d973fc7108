"""A run that stopped and went on is the run that did not stop: bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ganforge.engine.run import Run
from ganforge.engine.state import random_state, split

STEPS = 12


def everything(run: Run) -> tuple[dict[str, Tensor], Any]:
    """All that a run is made of, as tensors and plain data."""
    ema = {name: average.module.state_dict() for p in run.trainer.players.values() for name, average in p.ema.items()}
    state = {
        "networks": run.trainer.cast.networks.state_dict(),
        "ema": ema,
        "trainer": run.trainer.state_dict(),
        "random": random_state(),
    }
    tensors: dict[str, Tensor] = {}
    return tensors, split(state, "", tensors)


def assert_same(one: Run, other: Run) -> None:
    tensors, plain = everything(one)
    other_tensors, other_plain = everything(other)
    assert plain == other_plain
    assert [name for name in tensors if not torch.equal(tensors[name], other_tensors[name])] == []


def diary(*runs: Run) -> dict[int, dict[str, float]]:
    return {step: scalars for run in runs for step, scalars in run.callbacks[0].scalars.items()}


@pytest.fixture
def straight(start: Callable[..., Run]) -> Run:
    run = start(folder="straight")
    run.train()
    return run


@pytest.mark.parametrize("stop", [1, 4, 5, 7, 11])
def test_stopped_anywhere_and_resumed_nothing_differs(stop: int, straight: Run, start: Callable[..., Run]) -> None:
    """At 4 a checkpoint is due, and at 5 the statistics are read; elsewhere both are under way."""
    first = start(f"callbacks.stop={{type: toys.stop_at, step: {stop}}}")
    assert first.train() == "interrupted"
    assert first.step == stop
    second = start()
    assert second.resumed_at == stop
    assert second.train() == "finished"
    assert_same(straight, second)
    assert diary(first, second) == diary(straight)


def test_stopped_again_and_again(straight: Run, start: Callable[..., Run]) -> None:
    runs: list[Run] = []
    for step in (2, 3, 9):
        runs.append(start(f"callbacks.stop={{type: toys.stop_at, step: {step}}}"))
        runs[-1].train()
    runs.append(start())
    runs[-1].train()
    assert_same(straight, runs[-1])
    assert diary(*runs) == diary(straight)


def test_the_number_of_workers_changes_nothing(straight: Run, start: Callable[..., Run]) -> None:
    first = start("data.workers=2", "callbacks.stop={type: toys.stop_at, step: 7}")
    first.train()
    second = start("data.workers=2")
    second.train()
    assert_same(straight, second)


def test_accumulating_runs_resume_at_their_place_in_the_data(start: Callable[..., Run]) -> None:
    options = ("run.accumulate=3", "data.batch_size=1")
    straight = start(*options, folder="straight")
    straight.train()
    start(*options, "callbacks.stop={type: toys.stop_at, step: 5}").train()
    resumed = start(*options)
    resumed.train()
    assert_same(straight, resumed)


def test_two_runs_of_one_seed_are_equal_and_of_two_are_not(straight: Run, start: Callable[..., Run]) -> None:
    torch.rand(5)  # whatever was drawn before
    same, other = start(folder="same"), start("run.seed=1", folder="other")
    same.train()
    other.train()
    assert_same(straight, same)
    weights = [run.trainer.cast.networks["G_ab"].first.weight for run in (straight, other)]
    assert not torch.equal(*weights)


def test_a_longer_run_goes_on_from_a_finished_one(start: Callable[..., Run]) -> None:
    start().train()
    longer = start("run.steps=16")
    assert longer.step == STEPS
    assert longer.train() == "finished"
    assert longer.step == 16


@pytest.mark.parametrize("option", ["data.size_px=32", "players.generators.ema.decay=0.5", "run.seed=3"])
def test_another_recipe_is_refused_with_both_ways_out(option: str, start: Callable[..., Run], registry: Any) -> None:
    from ganforge.engine.folder import open_run_folder
    from ganforge.engine.resuming import check_unchanged
    from ganforge.errors import UsageError

    run = start()
    run.train()
    changed = start(option, folder="other")
    with pytest.raises(UsageError, match="started with another recipe") as refusal:
        check_unchanged(changed.recipe, open_run_folder(run.folder))
    key, value = option.split("=")
    assert key in str(refusal.value)
    assert f"-> {value}" in str(refusal.value)
    assert "--resume" in str(refusal.value)
