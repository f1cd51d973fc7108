"""The options of a network can be read back from its weights."""

from typing import Any

import pytest
import torch
from torch import nn

from ganforge_cyclegan.discriminators import PatchDiscriminator, PixelDiscriminator
from ganforge_cyclegan.generators import ResnetGenerator, UnetGenerator

NETWORKS: list[tuple[Any, dict[str, Any]]] = [
    (ResnetGenerator, {"channels": 4, "blocks": 3, "in_channels": 1, "out_channels": 2}),
    (ResnetGenerator, {"channels": 2, "blocks": 12, "norm": "batch", "dropout": 0.5}),
    (ResnetGenerator, {"channels": 2, "blocks": 1, "norm": "batch"}),
    (ResnetGenerator, {"channels": 2, "blocks": 1, "padding": "zero"}),
    (ResnetGenerator, {"channels": 2, "blocks": 1, "padding": "zero", "norm": "batch", "dropout": 0.5}),
    (UnetGenerator, {"channels": 2, "downs": 5, "in_channels": 1, "out_channels": 2}),
    (UnetGenerator, {"channels": 2, "downs": 8, "norm": "batch"}),
    (PatchDiscriminator, {"channels": 4, "layers": 3, "in_channels": 6}),
    (PatchDiscriminator, {"channels": 2, "layers": 1, "norm": "batch"}),
    (PatchDiscriminator, {"channels": 2, "layers": 5}),
    (PixelDiscriminator, {"channels": 4, "in_channels": 1}),
    (PixelDiscriminator, {"channels": 2, "norm": "batch"}),
]


@pytest.mark.parametrize(("network", "options"), NETWORKS)
def test_options_are_read_from_weights(network: Any, options: dict[str, Any]) -> None:
    weights = network(**options).state_dict()
    found, theirs = network.recognise(weights)
    assert {name: found[name] for name in options} == options
    assert found["norm"] == options.get("norm", "instance")
    assert set(found) - {"in_channels", "out_channels", "norm"} <= set(options)
    network(**found).load_state_dict(theirs)


@pytest.mark.parametrize(("network", "options"), NETWORKS)
def test_no_other_network_takes_them(network: Any, options: dict[str, Any]) -> None:
    weights = network(**options).state_dict()
    others = {ResnetGenerator, UnetGenerator, PatchDiscriminator, PixelDiscriminator} - {network}
    assert [other for other in others if other.recognise(weights)] == []


@pytest.mark.parametrize("network", [ResnetGenerator, UnetGenerator, PatchDiscriminator, PixelDiscriminator])
def test_without_a_norm_the_references_biases_are_zero(network: Any) -> None:
    """The reference has biases only where it needs them: in front of an instance norm, and in the last layer."""
    with_biases = network(channels=2, norm="none")
    start = with_biases.state_dict()
    needed = {"norm": "batch", "channels": 2}
    weights = {name: start[name] for name in network(**needed).state_dict() if name in start}
    assert weights.keys() < start.keys()
    found, theirs = network.recognise(weights)
    assert found["norm"] == "none"
    network(**found).load_state_dict(theirs)
    assert not any(torch.count_nonzero(theirs[name]) for name in theirs.keys() - weights.keys())


@pytest.mark.parametrize("network", [ResnetGenerator, UnetGenerator, PatchDiscriminator, PixelDiscriminator])
@pytest.mark.parametrize("weights", [nn.Linear(2, 2).state_dict(), {"model.1.weight": torch.ones(1)}, {}])
def test_weights_of_anything_else(network: Any, weights: Any) -> None:
    assert network.recognise(weights) is None
