"""The numbers that the recipes must not lose: Karras et al. 2020, and the reference's `auto` at 256 px and batch 32."""

import pytest

from ganforge.plugins.loading import load_plugins
from ganforge.recipe import open_recipe


@pytest.mark.parametrize("name", ["stylegan2_folder", "stylegan2_ada_folder", "stylegan2_diffaugment_folder"])
def test_numbers(name: str) -> None:
    recipe = open_recipe(name, (), load_plugins().registry)
    assert (recipe.loader.batch_size, recipe.dataset.shapes()) == (32, {"real": (3, 256, 256)})
    losses = {loss.name: (phase.every, loss.weight) for phase in recipe.phases for loss in phase.losses}
    gamma = 0.0002 * 256**2 / 32
    assert losses["adv"] == losses["judge"] == (1, 1.0)
    assert losses["path_length"] == (4, 2 * 4)
    assert losses["r1"] == (16, pytest.approx(16 * gamma / 2))
    # An optimizer must be told how often its player is regularised.
    rhythm = {player.name: player.optimizer.options.get("every", 16) for player in recipe.players.values()}
    assert rhythm == {"generator": 4, "discriminator": 16}
    for player in recipe.players.values():
        options = player.optimizer.options
        assert (options["lr"], options["betas"]) == (2.5e-3, (0, 0.99))
    (decay,) = (use.options for path, use in recipe.players["generator"].moving.items() if path[0] == "ema")
    assert decay == {"steps": 10_000 / 32, "ramp_up": 0.05}
    assert recipe.ops["mix"].options == {"probability": 0.9}


def test_ada_aims_where_the_paper_does() -> None:
    recipe = open_recipe("stylegan2_ada_folder", (), load_plugins().registry)
    assert recipe.ops["ada"].options == {"target": 0.6, "kimg": 500}
