import inspect
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import ganforge_r3gan
from ganforge.testing import parts_of
from ganforge_r3gan.generator import Generator


def parts(kind: str) -> dict[str, Any]:
    return parts_of(ganforge_r3gan)[kind]


def test_parts() -> None:
    assert set(parts("networks")) == {"generator", "discriminator"}
    assert set(parts("losses")) == {"relativistic_g", "relativistic_d"}
    assert set(parts("recipes")) == {"r3gan_cifar10", "r3gan_ffhq64", "r3gan_shapes"}


@pytest.mark.parametrize("kind", ["networks", "losses"])
def test_every_part_says_where_it_comes_from(kind: str) -> None:
    for part in parts(kind).values():
        assert "https://arxiv.org/abs/2501.05441" in (inspect.getdoc(part) or "")


def test_every_option_of_a_network_is_explained() -> None:
    for network in parts("networks").values():
        doc = inspect.getdoc(network) or ""
        assert all(f"    {option}: " in doc for option in inspect.signature(network).parameters)


def test_the_readme_names_every_part_and_recipe() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for kind in ("networks", "losses"):
        assert all(f"`r3gan.{name}`" in readme for name in parts(kind))
    assert all(f"`{name}`" in readme for name in parts("recipes"))


@pytest.mark.parametrize(
    ("option", "value"),
    [("channels", []), ("channels", [0]), ("blocks", 0), ("expansion", 0), ("group_channels", 0), ("classes", 0)],
)
def test_options_out_of_range_can_be_told_from_the_signature(option: str, value: object) -> None:
    hints = inspect.get_annotations(Generator.__init__, eval_str=True)
    with pytest.raises(ValidationError):
        TypeAdapter(hints[option]).validate_python(value)
