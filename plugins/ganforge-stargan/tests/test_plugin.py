import inspect
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import ganforge_stargan
from ganforge.testing import parts_of
from ganforge_stargan.generator import Generator

KINDS = ("networks", "losses")


def parts(kind: str) -> dict[str, Any]:
    return parts_of(ganforge_stargan)[kind]


def test_parts() -> None:
    assert {kind: set(parts(kind)) for kind in (*KINDS, "recipes")} == {
        "networks": {"generator", "discriminator"},
        "losses": {"classification"},
        "recipes": {"stargan_folders"},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_says_where_it_comes_from_and_explains_its_parameters(kind: str) -> None:
    for part in parts(kind).values():
        doc = inspect.getdoc(part) or ""
        assert "https://arxiv.org/abs/1711.09020" in doc
        assert all(f"{name}:" in doc for name in inspect.signature(part).parameters)


@pytest.mark.parametrize(("option", "value"), [("classes", 0), ("channels", 0), ("blocks", -1), ("in_channels", 0)])
def test_options_out_of_range_can_be_told_from_the_signature(option: str, value: object) -> None:
    hints = inspect.get_annotations(Generator.__init__, eval_str=True)
    with pytest.raises(ValidationError):
        TypeAdapter(hints[option]).validate_python(value)
