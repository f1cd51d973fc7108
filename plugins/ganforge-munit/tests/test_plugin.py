import inspect
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import ganforge_munit
from ganforge import Progress
from ganforge.testing import parts_of
from ganforge_munit.autoencoder import Autoencoder
from ganforge_munit.schedules import stepwise_decay

KINDS = ("networks", "schedules")


def parts(kind: str) -> dict[str, Any]:
    return parts_of(ganforge_munit)[kind]


def test_parts() -> None:
    assert {kind: set(parts(kind)) for kind in (*KINDS, "recipes")} == {
        "networks": {"autoencoder", "discriminator"},
        "schedules": {"stepwise_decay"},
        "recipes": {"munit_folders", "munit_shapes"},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_says_where_it_comes_from_and_explains_its_options(kind: str) -> None:
    for part in parts(kind).values():
        doc = inspect.getdoc(part) or ""
        assert "https://arxiv.org/abs/1804.04732" in doc
        assert all(f"{name}:" in doc for name in inspect.signature(part).parameters)


@pytest.mark.parametrize("option", ["style_size", "channels", "downs", "blocks", "mlp_channels", "in_channels"])
def test_options_out_of_range_can_be_told_from_the_signature(option: str) -> None:
    hints = inspect.get_annotations(Autoencoder.__init__, eval_str=True)
    with pytest.raises(ValidationError):
        TypeAdapter(hints[option]).validate_python(0)


def test_stepwise_decay_counts_steps() -> None:
    rates = [stepwise_decay(Progress(step, 7, 1000), every_steps=10, factor=0.5) for step in (0, 9, 10, 19, 20, 35)]
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.125]
