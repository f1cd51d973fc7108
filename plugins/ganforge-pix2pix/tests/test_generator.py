from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ganforge_pix2pix.generator import GlobalGenerator, ResidualBlock


def small(**options: Any) -> GlobalGenerator:
    return GlobalGenerator(**{"channels": 2, "downs": 2, "blocks": 1} | options)


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_engine_can_rely_on_it(check_network: Callable[..., None], norm: str) -> None:
    check_network(GlobalGenerator, (2, 3, 16, 16), channels=2, downs=2, blocks=1, norm=norm)


def test_images_keep_their_size_and_stay_in_range() -> None:
    images = small(in_channels=1, out_channels=4)(100 * torch.randn(2, 1, 16, 24))
    assert images.shape == (2, 4, 16, 24)
    assert images.abs().max() <= 1


def test_sizes_are_rounded_up_to_multiples_of_what_the_halvings_divide() -> None:
    assert small(downs=3)(torch.zeros(1, 3, 17, 24)).shape == (1, 3, 24, 24)


def test_its_weights_have_the_names_and_shapes_of_the_reference() -> None:
    """Each of the reference's stages counts three modules (convolution, norm, activation), a block counts one."""
    network = GlobalGenerator(channels=4, downs=4, blocks=9)
    shapes = {n.removesuffix(".weight"): tuple(p.shape) for n, p in network.named_parameters() if p.ndim == 4}
    blocks = {f"model.{16 + block}.conv_block.{place}": (64, 64, 3, 3) for block in range(9) for place in (1, 5)}
    assert shapes == {
        "model.1": (4, 3, 7, 7),
        "model.4": (8, 4, 3, 3),
        "model.7": (16, 8, 3, 3),
        "model.10": (32, 16, 3, 3),
        "model.13": (64, 32, 3, 3),
        **blocks,
        "model.25": (64, 32, 3, 3),
        "model.28": (32, 16, 3, 3),
        "model.31": (16, 8, 3, 3),
        "model.34": (8, 4, 3, 3),
        "model.38": (3, 4, 7, 7),
    }
    assert {f"{name}.bias" for name in shapes} == {n for n in network.state_dict() if n.endswith("bias")}


def test_at_the_papers_size_it_has_the_parameters_of_the_papers() -> None:
    with torch.device("meta"):
        network = GlobalGenerator()
    assert sum(parameter.numel() for parameter in network.parameters()) == 182_443_267


def test_a_block_without_weights_passes_its_input_on() -> None:
    block = ResidualBlock(4, "instance")
    nn.init.zeros_(block.conv_block[5].weight)
    x_NCHW = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(x_NCHW), x_NCHW)


def test_weights_start_as_the_reference_draws_them() -> None:
    network = GlobalGenerator(channels=16, downs=2, blocks=2, norm="batch")
    weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.ndim == 4])
    scales = torch.cat([m.weight.detach() for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
    assert (float(weights.mean()), float(weights.std())) == pytest.approx((0, 0.02), abs=2e-4)
    assert (float(scales.mean()), float(scales.std())) == pytest.approx((1, 0.02), abs=4e-3)
