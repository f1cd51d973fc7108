import pytest
import torch
from ganforge.testing import check_loss, run_recipe

from my_plugin.losses import charbonnier


def test_the_engine_can_rely_on_it() -> None:
    check_loss(charbonnier, epsilon=1e-2)


def test_far_from_the_target_it_is_the_absolute_difference() -> None:
    loss = charbonnier(torch.tensor([3.0, -5.0]), torch.zeros(2), epsilon=1e-4)
    assert loss.item() == pytest.approx(4.0, rel=1e-6)


def test_the_recipe_trains() -> None:
    run = run_recipe("my_plugin", "data.count=8", "data.validation=4")
    assert run.scalars["losses/cycle"][-1] > 0
