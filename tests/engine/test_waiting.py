"""A step never asks the device for a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import rehearsed
import torch
from tiny import RECIPES

from ganforge.api.context import Progress
from ganforge.ranks.device import Precision
from ganforge.step.cast import build_cast
from ganforge.testing import CheckFailed, Parity
from ganforge.testing.checking import never_waiting
from ganforge.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("rehearsed_once")

RECIPE = """
data: {type: fields, batch_size: 2, shapes: {x: [3, 16, 16], y: [3, 16, 16]}}
networks: {G: {type: toys.translator, batch_norm: true}, D: {type: toys.critic}}
ops: {past: {type: cyclegan.replay_buffer, size: 3}}
signals: {fake: G(x)}
players:
  g: {networks: [G], optimizer: &sgd {type: sgd, lr: 1e-2, momentum: 0.9}, clip_norm: 1.0, ema: {decay: 0.9}}
  d: {networks: [D], optimizer: *sgd, schedule: {type: cosine}}
phases:
  - train: g
    losses:
      adv: {type: lsgan_g, fake: D(fake)}
      near: {type: l1, input: fake, target: y, weight: {type: ramp, end: 1, steps: 3}}
  - train: d
    losses:
      judge: {type: lsgan_d, real: D(y), fake: D(past(fake))}
      r1: {type: toys.r1, logits: D(y), images: y, every: 2}
run: {steps: 10, precision: bf16, device: cpu, accumulate: 2}
"""


def test_a_step_never_waits_for_the_device(read: Callable[..., Any]) -> None:
    recipe = read(RECIPE)
    precision = Precision("bf16", torch.device("cpu"))
    trainer = Trainer(recipe, build_cast(recipe, precision.place), precision, Progress(0, 5, 10))
    trainer.bad_losses.eager = False  # as on a GPU
    with never_waiting():
        for step in range(4):
            batches = [{"x": torch.zeros(2, 3, 16, 16), "y": torch.zeros(2, 3, 16, 16)} for _ in range(2)]
            trainer.step(batches, log=step == 1)
        for reading in (trainer.bad_losses.check, trainer.statistics.read, lambda: bool(torch.ones(()))):
            with pytest.raises(CheckFailed):
                reading()


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_waits_for_the_device(name: str) -> None:
    for levers in ((), ("run.merge=true", "run.fused=true", "run.recompute=true")):
        parity = Parity(rehearsed.opened(name, levers))
        parity.trainer.bad_losses.eager = False  # as on a GPU
        for player in parity.trainer.players.values():  # torch's own read counters, which lie on the CPU
            player.optimizer.step = lambda: None
        batches = parity.batches(3 * parity.recipe.run.accumulate)
        with never_waiting():
            parity.train(batches)


def test_skipping_has_to_look(read: Callable[..., Any]) -> None:
    recipe = read(RECIPE.replace("accumulate: 2", "on_bad_loss: skip"))
    precision = Precision("bf16", torch.device("cpu"))
    assert Trainer(recipe, build_cast(recipe, precision.place), precision, Progress(0, 5, 10)).bad_losses.eager
