from collections.abc import Callable

import pytest
import torch
from torch import nn

from ganforge_pix2pix.discriminator import MultiscaleDiscriminator


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_engine_can_rely_on_it(check_network: Callable[..., None], norm: str) -> None:
    check_network(MultiscaleDiscriminator, (2, 6, 16, 16), in_channels=6, channels=2, layers=1, norm=norm)


def test_logits_come_by_scale_and_features_by_scale_and_layer() -> None:
    network = MultiscaleDiscriminator(scales=3, layers=3, channels=2, in_channels=6)
    logits, features = network(torch.zeros(2, 6, 64, 96))
    assert [tuple(scale.shape) for scale in logits] == [(2, 1, 11, 15), (2, 1, 7, 9), (2, 1, 5, 6)]
    widths = [tuple(layer.shape[1:]) for layer in features[:4]]
    assert widths == [(2, 33, 49), (4, 17, 25), (8, 9, 13), (16, 10, 14)]
    assert [layer.shape[1] for layer in features] == 3 * [2, 4, 8, 16]


def test_widths_double_up_to_512() -> None:
    with torch.device("meta"):
        network = MultiscaleDiscriminator(scales=1, layers=5, channels=64)
    widths = [tuple(p.shape[:2]) for p in network.parameters() if p.ndim == 4]
    assert widths == [(64, 3), (128, 64), (256, 128), (512, 256), (512, 512), (512, 512), (1, 512)]


@pytest.mark.parametrize(("layers", "patch_px"), [(1, 16), (2, 34), (3, 70)])
def test_each_scale_judges_patches_of_twice_the_size_of_the_one_before(layers: int, patch_px: int) -> None:
    network = MultiscaleDiscriminator(scales=2, layers=layers, channels=2)
    for judge in network.scales:  # norms would connect all pixels
        for stage in judge.stages:  # type: ignore[union-attr]
            stage[1] = nn.Identity() if isinstance(stage[1], nn.InstanceNorm2d) else stage[1]
    images = torch.randn(1, 3, 320, 320, requires_grad=True)
    for scale, logits in enumerate(network(images).logits):
        middle = logits.shape[-1] // 2
        (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], images, retain_graph=True)
        seen = (gradient.abs().sum((0, 1, 3)) > 0).nonzero().flatten()
        # A pixel of the half size is an average of three of the full size, every other one the middle of such three.
        assert len(seen) == (patch_px if scale == 0 else 2 * patch_px + 1)


def test_the_half_size_averages_three_by_three_pixels_without_the_border() -> None:
    network = MultiscaleDiscriminator(scales=2, layers=1, channels=2)
    given: list[torch.Tensor] = []
    network.scales[1].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    images = torch.randn(1, 3, 8, 8)
    network(images)
    assert given[0].shape == (1, 3, 4, 4)
    torch.testing.assert_close(given[0][..., 1, 2], images[..., 1:4, 3:6].mean((-2, -1)))
    torch.testing.assert_close(given[0][..., 0, 0], images[..., :2, :2].mean((-2, -1)))


def test_every_scale_has_weights_of_its_own() -> None:
    network = MultiscaleDiscriminator(scales=2, channels=2)
    first, second = (next(judge.parameters()) for judge in network.scales)
    assert not torch.equal(first, second)
