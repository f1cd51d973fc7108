"""A run that stopped and went on is the run that did not stop: bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ganforge.core.randomness import random_state
from ganforge.core.serialise import take_apart
from ganforge.runs.run import Run

STEPS = 12


State = tuple[Any, dict[str, Tensor]]


def everything(run: Run) -> State:
    """All that a run is made of, as tensors and plain data; call it when the run has just ended."""
    ema = {name: average.module.state_dict() for p in run.trainer.players.values() for name, average in p.ema.items()}
    state = {
        "networks": run.trainer.cast.networks.state_dict(),
        "ema": ema,
        "trainer": run.trainer.state_dict(),
        "lanes": [lane.state_dict() for lane in run.trainer.lanes.held],
        "random": random_state(),
    }
    tensors: dict[str, Tensor] = {}
    return take_apart(state, "", tensors), tensors


def assert_same(one: State, other: State) -> None:
    assert one[0] == other[0]
    assert [name for name in one[1] if not torch.equal(one[1][name], other[1][name])] == []


def diary(*runs: Run) -> dict[int, dict[str, float]]:
    return {step: scalars for run in runs for step, scalars in run.callbacks[0].scalars.items()}


@dataclass
class Straight:
    """A run that never stopped, as it ended."""

    state: State
    scalars: dict[int, dict[str, float]]


@pytest.fixture
def straight(start: Callable[..., Run]) -> Straight:
    run = start(folder="straight")
    run.train()
    return Straight(everything(run), diary(run))


@pytest.mark.parametrize("stop", [1, 4, 5, 7, 11])
def test_stopped_anywhere_and_resumed_nothing_differs(stop: int, straight: Straight, start: Callable[..., Run]) -> None:
    """At 4 a checkpoint is due, and at 5 the statistics are read; elsewhere both are under way."""
    first = start(f"callbacks.stop={{type: toys.stop_at, step: {stop}}}")
    assert first.train() == "interrupted"
    assert first.step == stop
    second = start()
    assert second.resumed_at == stop
    assert second.train() == "finished"
    assert_same(straight.state, everything(second))
    assert diary(first, second) == straight.scalars


def test_stopped_again_and_again(straight: Straight, start: Callable[..., Run]) -> None:
    runs: list[Run] = []
    for step in (2, 3, 9):
        runs.append(start(f"callbacks.stop={{type: toys.stop_at, step: {step}}}"))
        runs[-1].train()
    runs.append(start())
    runs[-1].train()
    assert_same(straight.state, everything(runs[-1]))
    assert diary(*runs) == straight.scalars


def test_the_number_of_workers_changes_nothing(straight: Straight, start: Callable[..., Run]) -> None:
    first = start("data.workers=2", "callbacks.stop={type: toys.stop_at, step: 7}")
    first.train()
    second = start("data.workers=2")
    second.train()
    assert_same(straight.state, everything(second))


def test_accumulating_runs_resume_at_their_place_in_the_data(start: Callable[..., Run]) -> None:
    options = ("run.accumulate=3", "data.batch_size=1")
    straight = start(*options, folder="straight")
    straight.train()
    ended = everything(straight)
    start(*options, "callbacks.stop={type: toys.stop_at, step: 5}").train()
    resumed = start(*options)
    resumed.train()
    assert_same(ended, everything(resumed))


def test_two_runs_of_one_seed_are_equal_and_of_two_are_not(straight: Straight, start: Callable[..., Run]) -> None:
    torch.rand(5)  # whatever was drawn before
    same = start(folder="same")
    same.train()
    assert_same(straight.state, everything(same))
    other = start("run.seed=1", folder="other")
    other.train()
    weights = [run.trainer.cast.networks["G_ab"].first.weight for run in (same, other)]
    assert not torch.equal(*weights)


def test_a_longer_run_goes_on_from_a_finished_one(start: Callable[..., Run]) -> None:
    start().train()
    longer = start("run.steps=16")
    assert longer.step == STEPS
    assert longer.train() == "finished"
    assert longer.step == 16


@pytest.mark.parametrize("option", ["data.size_px=32", "players.generators.ema.decay=0.5", "run.seed=3"])
def test_another_recipe_is_refused_with_both_ways_out(option: str, start: Callable[..., Run], registry: Any) -> None:
    from ganforge.errors import UsageError
    from ganforge.runs.resume_checks import check_unchanged
    from ganforge.runs.run_folder import open_run_folder

    run = start()
    run.train()
    changed = start(option, folder="other")
    with pytest.raises(UsageError, match="started with another recipe") as refusal:
        check_unchanged(changed.recipe, open_run_folder(run.folder))
    key, value = option.split("=")
    assert key in str(refusal.value)
    assert f"-> {value}" in str(refusal.value)
    assert "--resume" in str(refusal.value)
