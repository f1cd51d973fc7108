import inspect
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import ganforge_cut
from ganforge.testing import parts_of

NAMES = {
    "networks": {"generator", "patch_sampler"},
    "losses": {"patch_nce", "batch_patch_nce"},
    "ops": {"coin", "mirror"},
    "recipes": {"cut_horse2zebra", "fastcut_horse2zebra", "cut_shapes"},
}


def parts(kind: str) -> dict[str, Any]:
    return parts_of(ganforge_cut)[kind]


@pytest.mark.parametrize("kind", NAMES)
def test_parts(kind: str) -> None:
    assert set(parts(kind)) == NAMES[kind]


@pytest.mark.parametrize("kind", ["networks", "losses", "ops"])
def test_every_part_says_what_it_is_and_where_it_comes_from(kind: str) -> None:
    for part in parts(kind).values():
        assert "https://arxiv.org/abs/" in (inspect.getdoc(part) or "")


@pytest.mark.parametrize("kind", ["networks", "losses"])
def test_every_parameter_is_explained(kind: str) -> None:
    for part in parts(kind).values():
        doc = inspect.getdoc(part) or ""
        assert all(f"{option}:" in doc for option in inspect.signature(part).parameters)


@pytest.mark.parametrize(
    ("part", "option", "value"),
    [
        ("generator", "blocks", 0),
        ("generator", "layers", []),
        ("generator", "layers", [-1, 4]),
        ("generator", "init", "kaiming"),
        ("patch_sampler", "patches", 0),
        ("patch_sampler", "layers", 0),
    ],
)
def test_options_out_of_range_can_be_told_from_the_signature(part: str, option: str, value: object) -> None:
    hints = inspect.get_annotations(parts("networks")[part].__init__, eval_str=True)
    with pytest.raises(ValidationError):
        TypeAdapter(hints[option]).validate_python(value)
