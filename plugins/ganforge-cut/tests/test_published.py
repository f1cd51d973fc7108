"""The options of a network can be read back from its weights."""

from typing import Any

import pytest
import torch

from ganforge_cut.generator import Generator
from ganforge_cut.patch_sampler import PatchSampler


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 4, "blocks": 9, "layers": [0, 4, 8, 12, 16], "antialias": True},
        {"channels": 2, "blocks": 4, "layers": [0, 4, 8, 12, 15], "antialias": True, "in_channels": 1},
        {"channels": 2, "blocks": 7, "layers": [0, 4, 8, 12, 16], "antialias": False, "out_channels": 2},
        {"channels": 2, "blocks": 1, "layers": [0, 4, 8, 10], "antialias": False},
    ],
)
def test_options_are_read_from_weights(options: dict[str, Any]) -> None:
    found = Generator.recognise(Generator(**options).state_dict())
    assert found
    assert {name: found[0][name] for name in options} == options
    Generator(**found[0]).load_state_dict(found[1])


def test_projections_by_the_references_names() -> None:
    sampler = PatchSampler(layers=2, channels=8)
    maps = [torch.zeros(1, channels, 2, 2) for channels in (3, 5)]
    sampler(maps, maps)
    published = {name.replace("heads.", "mlp_", 1): tensor for name, tensor in sampler.state_dict().items()}
    assert "mlp_1.2.bias" in published
    found = PatchSampler.recognise(published)
    assert found
    assert found[0] == {"layers": 2, "channels": 8}
    PatchSampler(**found[0]).load_state_dict(found[1])


@pytest.mark.parametrize("weights", [{}, {"model.1.weight": torch.ones(2)}, {"mlp_0.0.weight": torch.ones(2)}])
def test_weights_of_anything_else(weights: Any) -> None:
    assert Generator.recognise(weights) is None
    assert PatchSampler.recognise(weights) is None
