"""The recipes learn: trainings of a few seconds come near the truth. The README has the figures of whole ones.

What this proves is that the players of a recipe play together: a wrong sign, a lost gradient or a dead player fails.
"""

from __future__ import annotations

import pytest

from ganforge.testing import run_recipe

QUICK = ("data.validation=500", "callbacks.tensorboard=null", "callbacks.panels=null", "run.metrics_every=null")


@pytest.mark.parametrize(
    ("recipe", "steps", "changes"),
    [
        ("wgan_gp_ring", 1000, ("data.batch_size=64", "phases.1.every=2")),  # of 10,000, every 5
        ("dcgan_spots", 600, ()),  # of 3,000
    ],
)
def test_a_short_training_finds_the_modes(recipe: str, steps: int, changes: tuple[str, ...]) -> None:
    before = run_recipe(recipe, *QUICK, *changes, steps=1).metrics
    after = run_recipe(recipe, *QUICK, *changes, steps=steps).metrics
    assert before["ring/modes"] == 0
    assert before["ring/distance"] > 0.3
    # The floor of 500 true points is 0.022. Chance finds no mode at all.
    assert after["ring/distance"] < 0.08
    assert after["ring/modes"] >= 6
