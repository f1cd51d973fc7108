import inspect
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import ganforge_classics
from ganforge.testing import parts_of
from ganforge_classics.acgan import AcganDiscriminator
from ganforge_classics.sngan import SnganGenerator

KINDS = ("networks", "losses", "ops", "datasets", "metrics")


def parts(kind: str) -> dict[str, Any]:
    return parts_of(ganforge_classics)[kind]


@pytest.mark.parametrize("kind", ["networks", "losses"])
def test_every_network_and_loss_says_where_it_comes_from(kind: str) -> None:
    assert all("https://arxiv.org/abs/" in (inspect.getdoc(part) or "") for part in parts(kind).values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_begins_with_a_sentence(kind: str) -> None:
    for part in parts(kind).values():
        assert (inspect.getdoc(part) or "").partition("\n")[0].endswith((".", ":", "`."))


def test_recipes() -> None:
    assert set(parts("recipes")) == {
        *("dcgan_spots", "dcgan_folder", "lsgan_spots", "sngan_spots", "projection_spots", "acgan_spots"),
        *("wgan_ring", "wgan_gp_ring", "dragan_ring", "r1_ring"),
    }


@pytest.mark.parametrize("kind", ["networks", "datasets"])
def test_every_option_is_explained(kind: str) -> None:
    for part in parts(kind).values():
        doc = inspect.getdoc(part) or ""
        assert all(f"{option}:" in doc for option in inspect.signature(part).parameters)


@pytest.mark.parametrize(
    ("network", "option", "value"),
    [
        (SnganGenerator, "channels", (4,)),
        (SnganGenerator, "channels", (4, 0)),
        (SnganGenerator, "classes", -1),
        (AcganDiscriminator, "size_px", 20),
        (AcganDiscriminator, "dropout", 1.0),
    ],
)
def test_options_out_of_range_can_be_told_from_the_signature(network: type, option: str, value: object) -> None:
    hints = inspect.get_annotations(network.__init__, eval_str=True)
    with pytest.raises(ValidationError):
        TypeAdapter(hints[option]).validate_python(value)
