import math

import pytest
import torch
from torch import nn

from ganforge_cyclegan.initialisers import Initialiser, initialise

Layers = tuple[nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d]


def initialised(init: Initialiser, gain: float) -> Layers:
    layers = nn.Conv2d(40, 60, 3), nn.BatchNorm2d(60), nn.ConvTranspose2d(60, 50, 3)
    initialise(nn.Sequential(*layers), init, gain)
    return layers


@pytest.mark.parametrize(
    ("init", "forth", "back"),
    [
        ("normal", 0.1, 0.1),
        ("xavier", 0.1 * math.sqrt(2 / (9 * 100)), 0.1 * math.sqrt(2 / (9 * 110))),
        # Torch counts a transposed convolution's fan in from the second dimension of its weight.
        ("kaiming", math.sqrt(2 / (9 * 40)), math.sqrt(2 / (9 * 50))),
    ],
)
def test_weights_have_the_scale_of_the_paper(init: Initialiser, forth: float, back: float) -> None:
    conv, _, transposed = initialised(init, 0.1)
    assert conv.weight.std().item() == pytest.approx(forth, rel=0.03)
    assert transposed.weight.std().item() == pytest.approx(back, rel=0.03)
    assert abs(conv.weight.mean().item()) < 0.03 * forth


def test_orthogonal_weights_have_orthogonal_rows() -> None:
    conv, _, _ = initialised("orthogonal", 0.1)
    rows = conv.weight.detach().flatten(1)
    torch.testing.assert_close(rows @ rows.T, 0.01 * torch.eye(60), rtol=0, atol=1e-7)


def test_biases_start_at_0_and_batch_norms_around_1() -> None:
    conv, norm, transposed = initialised("normal", 0.02)
    assert not any(layer.bias.any() for layer in (conv, norm, transposed) if layer.bias is not None)
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.3)
