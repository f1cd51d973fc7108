import random

import torch
from ganforge.testing import check_augmentation, run_recipe

from my_plugin.augmentations import vignette


def test_the_engine_can_rely_on_it() -> None:
    check_augmentation(vignette, most=0.8)


def test_corners_are_darker_and_the_centre_is_as_it_was() -> None:
    white = torch.ones(3, 9, 9)
    changed = vignette(white, random.Random(0), 1.0)
    assert torch.equal(changed[:, 4, 4], white[:, 4, 4])
    assert changed[:, 0, 0].max() < changed[:, 0, 4].min() < 1


def test_the_recipe_trains() -> None:
    run = run_recipe("my_plugin", "data.count=8", "data.validation=4")
    assert run.scalars["losses/judge"][-1] > 0
