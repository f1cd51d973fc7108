import inspect
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import ganforge_pix2pix
from ganforge.plugins.loading import load_plugins
from ganforge.recipe import open_recipe
from ganforge.testing import parts_of
from ganforge_pix2pix.discriminator import MultiscaleDiscriminator
from ganforge_pix2pix.generator import GlobalGenerator


def parts(kind: str) -> dict[str, Any]:
    return parts_of(ganforge_pix2pix)[kind]


def test_parts() -> None:
    assert set(parts("networks")) == {"global_generator", "multiscale_discriminator"}
    assert set(parts("losses")) == {"multiscale_lsgan_g", "multiscale_lsgan_d", "feature_matching"}
    assert set(parts("recipes")) == {"pix2pix_facades", "pix2pixhd_facades"}


@pytest.mark.parametrize("kind", ["networks", "losses"])
def test_every_part_says_where_it_comes_from_and_explains_its_options(kind: str) -> None:
    for part in parts(kind).values():
        doc = inspect.getdoc(part) or ""
        assert "https://arxiv.org/abs/" in doc
        assert all(f"{option}:" in doc for option in inspect.signature(part).parameters)


@pytest.mark.parametrize(
    ("network", "option", "value"),
    [
        (GlobalGenerator, "downs", -1),
        (GlobalGenerator, "blocks", -1),
        (GlobalGenerator, "channels", 0),
        (GlobalGenerator, "norm", "layer"),
        (MultiscaleDiscriminator, "scales", 0),
        (MultiscaleDiscriminator, "layers", 0),
    ],
)
def test_options_out_of_range_can_be_told_from_the_signature(network: Any, option: str, value: object) -> None:
    hints = inspect.get_annotations(network.__init__, eval_str=True)
    with pytest.raises(ValidationError):
        TypeAdapter(hints[option]).validate_python(value)


@pytest.mark.parametrize(
    ("name", "schedule", "weights"),
    [
        ("pix2pix_facades", (100, 100), {"judge": 0.5, "adv": 1, "pixels": 100}),
        # hold 102 and decay 99: 101 epochs of the full rate, then down by a hundredth of it an epoch.
        ("pix2pixhd_facades", (102, 99), {"adv": 1, "match": 40, "judge": 0.5}),
    ],
)
def test_recipes_keep_the_numbers_of_their_papers(
    name: str, schedule: tuple[int, int], weights: dict[str, float]
) -> None:
    recipe = open_recipe(name, (), load_plugins().registry)
    assert {loss.name: loss.weight for phase in recipe.phases for loss in phase.losses} == weights
    for player in recipe.players.values():
        assert player.optimizer.options == {"lr": 2e-4, "betas": (0.5, 0.999)}
        assert [tuple(part.options.values()) for part in player.schedules] == [schedule]
    assert recipe.dataset.shapes() == {"real_a": (3, 256, 256), "real_b": (3, 256, 256)}
    assert (recipe.loader.batch_size, recipe.run.epochs) == (1, 200)
