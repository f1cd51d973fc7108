import torch
from ganforge.testing import check_network, run_recipe

from my_plugin.networks import DilatedGenerator


def test_the_engine_can_rely_on_it() -> None:
    check_network(DilatedGenerator, (2, 3, 32, 32), channels=4, layers=3)


def test_images_keep_their_shape_and_range() -> None:
    images = torch.rand(2, 3, 40, 24) * 2 - 1
    translated = DilatedGenerator(channels=4)(images)
    assert translated.shape == images.shape
    assert translated.abs().max() <= 1


def test_the_recipe_trains() -> None:
    run = run_recipe("my_plugin", "data.count=8", "data.validation=4")
    assert run.scalars["losses/cycle"][-1] > 0
