"""The numbers of the paper and of the public reference that the recipes must not lose."""

import pytest

from ganforge import Progress
from ganforge.plugins.loading import load_plugins
from ganforge.recipe import open_recipe
from ganforge.recipe.model import Recipe


def shipped(name: str) -> Recipe:
    return open_recipe(name, (), load_plugins().registry)


@pytest.mark.parametrize(
    ("name", "whole_epochs", "falling_epochs", "weights"),
    [
        ("cut_horse2zebra", 200, 200, {"judge": 0.5, "adv": 1, "nce": 0.5, "nce_same": 0.5}),
        ("fastcut_horse2zebra", 150, 50, {"judge": 0.5, "adv": 1, "nce": 10}),
    ],
)
def test_numbers(name: str, whole_epochs: int, falling_epochs: int, weights: dict[str, float]) -> None:
    recipe = shipped(name)
    assert {loss.name: loss.weight for phase in recipe.phases for loss in phase.losses} == weights
    assert [phase.train for phase in recipe.phases] == ["discriminator", "generator"]
    assert recipe.dataset.shapes() == {"real_a": (3, 256, 256), "real_b": (3, 256, 256)}
    assert (recipe.loader.batch_size, recipe.run.epochs) == (1, whole_epochs + falling_epochs)
    for player in recipe.players.values():
        assert player.optimizer.options == {"lr": 2e-4, "betas": (0.5, 0.999)}
        (schedule,) = player.schedules
        for epoch in range(whole_epochs + falling_epochs):
            rate = schedule.part.factory(Progress(epoch, 1, 400), **schedule.options)
            # The reference's rule, advanced at the end of an epoch; epochs from 0.
            assert rate == pytest.approx(1 - max(0, epoch + 1 - whole_epochs) / (falling_epochs + 1))


def test_both_recipes_have_the_same_networks() -> None:
    cut, fastcut = shipped("cut_horse2zebra"), shipped("fastcut_horse2zebra")
    options = {name: use.options for name, use in cut.networks.items()}
    assert options == {name: use.options for name, use in fastcut.networks.items()}
    assert options["G"] == {"channels": 64, "blocks": 9, "layers": (0, 4, 8, 12, 16)}
    assert options["F"] == {"layers": 5, "patches": 256, "channels": 256}
    assert options["D"] == {"channels": 64, "layers": 3, "init": "xavier"}
