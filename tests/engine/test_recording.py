"""Passes recorded and replayed train as those launched one by one; on a CPU a tape stands for CUDA graphs."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rehearsed
import torch
from replaying import recorder
from tiny import RECIPES
from torch import Tensor, nn

from ganforge.testing import Parity
from ganforge.training.recording import WARM_UP

pytestmark = pytest.mark.usefixtures("rehearsed_once")

HEAD = "data: {type: fields, batch_size: 2, shapes: {x: [3, 16, 16], y: [3, 16, 16]}}\n"


def trajectories(make: Callable[[], Parity], steps: int = WARM_UP + 5) -> tuple[Parity, Parity]:
    """The same training launched and recorded."""
    launched, recorded = make(), make()
    cast = recorded.trainer.cast
    losses = [loss for loss in cast.losses.values() if isinstance(loss, nn.Module)]
    recorded.trainer.record(recorder(nn.ModuleList([cast.networks, *losses])))
    for parity in (launched, recorded):
        random.seed(0)
        parity.train(parity.batches(steps * parity.recipe.run.accumulate))
    return launched, recorded


def same(launched: Parity, recorded: Parity) -> bool:
    """Bit for bit, averages, statistics and the state of ops included."""
    return (
        all(torch.equal(a, b) for a, b in zip(everything(launched), everything(recorded), strict=True))
        and launched.trainer.statistics.read() == recorded.trainer.statistics.read()
    )


def everything(parity: Parity) -> list[Tensor]:
    averages = [average.module for player in parity.trainer.players.values() for average in player.ema.values()]
    modules = [parity.trainer.cast.networks, *averages]
    return [tensor for module in modules for tensor in module.state_dict().values()]


def replays(parity: Parity) -> bool:
    return bool(parity.trainer.recorder.recordings)


def often(name: str, *overrides: str) -> Parity:
    """A tiny recipe all of whose losses come in each step, also those that come seldom: they are the boldest."""
    recipe = rehearsed.opened(name, overrides)
    phases = [
        replace(phase, every=1, losses=tuple(replace(loss, every=1) for loss in phase.losses))
        for phase in recipe.phases
    ]
    return Parity(replace(recipe, phases=tuple(phases)))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("merge", ["false", "true"])
def test_every_recipe_trains_alike_recorded(name: str, merge: str, recwarn: pytest.WarningsRecorder) -> None:
    launched, recorded = trajectories(lambda: often(name, f"run.merge={merge}"))
    assert same(launched, recorded)
    # ADA augments what its own phase makes.
    assert replays(recorded) == (name != "stylegan2_ada_folder")
    assert bool(recorded.trainer.recorder.refused) == (name == "stylegan2_ada_folder")
    told = ["are not replayed from CUDA graphs" in str(warning.message) for warning in recwarn]
    assert any(told) == (name == "stylegan2_ada_folder")


SEVERAL = (
    HEAD
    + """
networks: {G: {type: toys.translator, batch_norm: true}, D: {type: toys.critic}}
ops: {past: {type: cyclegan.replay_buffer, size: 3}}
signals: {fake: G(x), mixed: "past(concat(fake, y))"}
players:
  g: {networks: [G], optimizer: &adam {type: adam, lr: 1e-2}, clip_norm: 0.5, ema: {decay: 0.9}}
  d: {networks: [D], optimizer: *adam, schedule: {type: cosine}}
phases:
  - train: g
    every: 2
    losses:
      adv: {type: lsgan_g, fake: D(fake)}
      near: {type: l1, input: fake, target: y, weight: {type: ramp, end: 1, steps: 30}}
      seldom: {type: l2, input: G(grain(x)), target: y, every: 2}
  - train: d
    losses:
      judge: {type: lsgan_d, real: D(y), fake: D(left(mixed))}
      r1: {type: toys.r1, logits: D(y), images: y, every: 3}
run: {steps: 100, precision: fp64, device: cpu, accumulate: 2}
"""
)


def test_phases_and_losses_that_come_seldom_moving_weights_and_accumulation(bench: Callable[..., Any]) -> None:
    with pytest.warns(UserWarning, match="are not replayed from CUDA graphs"):
        launched, recorded = trajectories(lambda: bench(SEVERAL), steps=40)
    assert same(launched, recorded)
    # What R1 differentiates with respect to, it sees alone: the buffer is shown plain images.
    assert len(recorded.trainer.recorder.recordings) == 3
    # Where the generator's turn has not come, the buffer is shown what the discriminator's phase makes for it.
    assert set(recorded.trainer.recorder.refused.values()) == {
        "an op with a state needs 'G(x)' in the phase that computes it"
    }


def test_a_loss_that_differentiates_through_an_op_with_a_state_is_launched_as_ever(bench: Callable[..., Any]) -> None:
    through = SEVERAL.replace("logits: D(y), images: y, every: 3", "logits: D(o.watch(y)), images: y")
    through = through.replace("size: 3}}", "size: 3}, o: {type: toys.tally}}")
    with pytest.warns(UserWarning, match="are not replayed from CUDA graphs"):
        launched, recorded = trajectories(lambda: bench(through), steps=16)
    assert same(launched, recorded)
    assert "'o.watch(y)' passes gradients on" in recorded.trainer.recorder.refused.values()


REFUSED = {
    "the schedule 'alpha' is in an expression": ("schedules: {alpha: {type: ramp, end: 1, steps: 4}}", "N(x, alpha)"),
    "an op with a state needs 'N(x)' in the phase that computes it": ("ops: {o: {type: toys.tally}}", "N(o(N(x)))"),
    "an op with a state is given '-x', which is not kept": ("ops: {o: {type: toys.tally}}", "N(o(-x))"),
    "a network, op or loss draws random numbers on the host": ("", "N(wobble(x))"),
    "a network or loss puts new buffers in place of old ones instead of changing them": ("drifting", "N(x)"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_recorded_is_told_and_trained_as_ever(reason: str, bench: Callable[..., Any]) -> None:
    more, expression = REFUSED[reason]
    text = (
        HEAD
        + f"networks: {{N: {{type: toys.{'drifting' if more == 'drifting' else 'scaled'}}}}}\n"
        + f"{more.removeprefix('drifting')}\n"
        + "players: {p: {networks: [N], optimizer: {type: adam, lr: 1e-2}}}\n"
        + f"phases:\n  - train: p\n    losses: {{a: {{type: l1, input: '{expression}', target: y}}}}\n"
        + "run: {steps: 100, precision: fp64, device: cpu}\n"
    )
    with pytest.warns(UserWarning, match=f"^steps of 'p' are not replayed from CUDA graphs: {re.escape(reason)}$"):
        launched, recorded = trajectories(lambda: bench(text))
    assert not replays(recorded)
    assert same(launched, recorded)


def test_an_op_may_keep_what_it_is_given(bench: Callable[..., Any]) -> None:
    text = (
        HEAD
        + "networks: {N: {type: toys.translator}}\nops: {o: {type: toys.keeping}}\n"
        + "players: {p: {networks: [N], optimizer: {type: adam, lr: 1e-2}}}\n"
        + "phases:\n  - train: p\n    losses: {a: {type: l1, input: N(o(x)), target: y}}\n"
        + "run: {steps: 100, precision: fp64, device: cpu}\n"
    )
    launched, recorded = trajectories(lambda: bench(text), steps=12)
    assert replays(recorded)
    assert same(launched, recorded)


def test_a_step_that_is_examined_is_launched_and_the_next_replayed() -> None:
    launched, recorded = trajectories(lambda: often("cyclegan_shapes"))
    assert replays(recorded)
    for parity in (launched, recorded):
        for number, batch in enumerate(parity.batches(3)):
            torch.manual_seed(number)
            parity.trainer.step([batch], examine=number == 1)
            assert bool(parity.trainer.learner.distributions) == (number == 1)
    assert same(launched, recorded)
