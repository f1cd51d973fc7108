import inspect
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch._subclasses.fake_tensor import FakeTensorMode

import ganforge_cyclegan
from ganforge.testing import parts_of
from ganforge_cyclegan.generators import ResnetGenerator


def parts(kind: str) -> dict[str, Any]:
    return parts_of(ganforge_cyclegan)[kind]


def test_parts() -> None:
    assert set(parts("networks")) == {
        "resnet_generator",
        "unet_generator",
        "patch_discriminator",
        "pixel_discriminator",
    }
    assert set(parts("ops")) == {"replay_buffer"}


@pytest.mark.parametrize("kind", ["networks", "ops"])
def test_every_part_says_what_it_is_and_where_it_comes_from(kind: str) -> None:
    for part in parts(kind).values():
        assert "https://arxiv.org/abs/" in (inspect.getdoc(part) or "")


def test_every_option_of_a_network_is_explained() -> None:
    for network in parts("networks").values():
        doc = inspect.getdoc(network) or ""
        assert all(f"{option}:" in doc for option in inspect.signature(network).parameters)


@pytest.mark.parametrize(
    ("option", "value"),
    [("channels", 0), ("blocks", -1), ("dropout", 1.0), ("norm", "layer"), ("padding", "wrap"), ("init_gain", 0)],
)
def test_options_out_of_range_can_be_told_from_the_signature(option: str, value: object) -> None:
    hints = inspect.get_annotations(ResnetGenerator.__init__, eval_str=True)
    with pytest.raises(ValidationError):
        TypeAdapter(hints[option]).validate_python(value)


def test_networks_are_built_and_run_on_fake_tensors() -> None:
    with FakeTensorMode():
        for network in parts("networks").values():
            assert network(init="orthogonal")(torch.empty(1, 3, 256, 256)).shape[0] == 1
