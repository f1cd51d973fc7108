import torch
from ganforge import Context
from ganforge.testing import check_op, run_recipe

from my_plugin.ops import brightness


def test_the_engine_can_rely_on_it() -> None:
    check_op(brightness, (4, 3, 8, 8), strength=0.2)


def test_an_image_changes_as_a_whole_and_no_more_than_allowed() -> None:
    images = torch.zeros(5, 3, 8, 8)
    changed = brightness(images, 0.2, context=Context(5, images.device, images.dtype))
    assert changed.abs().max() <= 0.2
    assert torch.equal(changed, changed[:, :1, :1, :1].expand_as(changed))


def test_the_recipe_trains() -> None:
    run = run_recipe("my_plugin", "data.count=8", "data.validation=4")
    assert run.scalars["losses/judge"][-1] > 0
