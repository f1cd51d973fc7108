import random

from ganforge.testing import check_dataset, run_recipe

from my_plugin.datasets import Stripes


def test_the_engine_can_rely_on_it() -> None:
    check_dataset(Stripes, size_px=16, count=4)


def test_stripes_stand_in_a_and_lie_in_b() -> None:
    sample = Stripes(size_px=16).train().sample(0, random.Random(0))
    assert sample["real_a"].diff(dim=1).abs().max() == 0
    assert sample["real_b"].diff(dim=2).abs().max() == 0


def test_the_recipe_trains() -> None:
    run = run_recipe("my_plugin", "data.count=8")
    assert run.scalars["losses/cycle"][-1] > 0
