"""Schedules, through a player's optimizer, give the rates that the public reference used in each epoch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ganforge.api.context import Progress
from ganforge.errors import Source
from ganforge.plugins.loading import load_plugins
from ganforge.ranks.device import Precision
from ganforge.recipe.nodes import parse
from ganforge.recipe.reading import read_recipe
from ganforge.step.cast import build_cast
from ganforge.step.sharding import Sharding
from ganforge.training.player import Player

RECIPE = """
data: {{type: shapes, size_px: 16}}
networks: {{D: {{type: cyclegan.patch_discriminator, channels: 1, layers: 1}}}}
players: {{d: {{networks: [D], optimizer: {{type: adam, lr: 2e-4}}, schedule: {schedule}}}}}
phases: [{{train: d, losses: {{adv: {{type: lsgan_g, fake: D(real_a)}}}}}}]
run: {{epochs: 10, precision: fp64, device: cpu}}
"""
SCHEDULES = {
    "linear": "{type: linear_decay, hold_epochs: 2, decay_epochs: 2}",
    "linear_5_5": "{type: linear_decay, hold_epochs: 5, decay_epochs: 5}",
    "linear_from3": "{type: linear_decay, hold_epochs: 2, decay_epochs: 2}",
    "step": "{type: step_decay, every_epochs: 2, factor: 0.1}",
    "cosine": "{type: cosine, epochs: 3}",
}


@pytest.mark.parametrize("policy", SCHEDULES)
def test_each_epoch_has_the_rate_of_the_reference(policy: str, learning_rates: dict[str, Any]) -> None:
    text = RECIPE.format(schedule=SCHEDULES[policy])
    recipe = read_recipe(parse(Source("test.yaml", text)), load_plugins().registry, "test")
    cast, cpu = build_cast(recipe), torch.device("cpu")
    player = Player(recipe.players["d"], cast, Precision("fp64", cpu), False, Sharding((), recipe, cast, cpu))
    steps = 7
    for entry in learning_rates[policy]["lr_used_in_epoch"]:
        for step in (0, steps - 1):
            player.follow_schedules(Progress((entry["epoch"] - 1) * steps + step, steps, 10 * steps))
            assert player.learning_rate == pytest.approx(entry["lr_D"], rel=0, abs=1e-18)
