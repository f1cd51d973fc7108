import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge.testing import check_network
from ganforge_munit.autoencoder import Autoencoder
from ganforge_munit.discriminator import Discriminator
from ganforge_munit.layers import StyledBlock, adaptive_instance_norm

SMALL = {"style_size": 3, "channels": 2, "downs": 1, "blocks": 1, "mlp_channels": 4}


def small(**options: int) -> Autoencoder:
    return Autoencoder(**SMALL | options)


def test_the_autoencoder_keeps_what_the_engine_relies_on() -> None:
    check_network(Autoencoder, (2, 3, 16, 24), **SMALL)
    # Each method leaves the weights of the other one without a gradient.
    check_network(Autoencoder, (2, 3, 16, 24), method="encode", skip=("gradients",), **SMALL)
    check_network(Autoencoder, (2, 4, 8, 12), (2, 3), method="decode", skip=("gradients",), **SMALL)


def test_the_discriminator_keeps_what_the_engine_relies_on() -> None:
    check_network(Discriminator, (2, 3, 32, 32), scales=2, layers=2, channels=4)


def test_codes_have_the_papers_sizes() -> None:
    with torch.device("meta"):
        network, images = Autoencoder(), torch.zeros(1, 3, 256, 256)
        content, style = network.encode(images)
        assert (content.shape, style.shape) == ((1, 256, 64, 64), (1, 8))
        assert network.decode(content, style).shape == images.shape


def test_the_networks_are_the_papers() -> None:
    """Huang et al. 2018, appendix B, in its notation; the numbers are channels."""
    with torch.device("meta"):
        network, judge = Autoencoder(), Discriminator()
    convolutions = {
        name: [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in part.modules() if isinstance(m, nn.Conv2d)]
        for name, part in [*network.named_children(), ("judge", judge.scales[0])]
    }
    residual = [(256, 3, 1)] * 8
    assert convolutions == {
        "content_encoder": [(64, 7, 1), (128, 4, 2), (256, 4, 2), *residual],
        "style_encoder": [(64, 7, 1), (128, 4, 2), (256, 4, 2), (256, 4, 2), (256, 4, 2), (8, 1, 1)],
        "style_mlp": [],
        "styled_blocks": residual,
        "upsampler": [(128, 5, 1), (64, 5, 1), (3, 7, 1)],
        "judge": [(64, 4, 2), (128, 4, 2), (256, 4, 2), (512, 4, 2), (1, 1, 1)],
    }
    assert len(judge.scales) == 3
    linear = [m.out_features for m in network.style_mlp.modules() if isinstance(m, nn.Linear)]
    assert linear == [256, 256, 2 * 256 * 8]


def norms(part: nn.Module) -> set[str]:
    return {type(module).__name__ for module in part.modules() if "Norm" in type(module).__name__}


def test_style_is_removed_from_content_only() -> None:
    network = small()
    assert norms(network.content_encoder) == {"InstanceNorm2d"}
    assert norms(network.style_encoder) == set()
    assert norms(network.upsampler) == {"GroupNorm"}
    assert norms(Discriminator()) == set()
    image = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    brighter = 0.5 * image + 0.2
    (content, style), (content_of_it, style_of_it) = map(network.double().encode, (image, brighter))
    torch.testing.assert_close(content, content_of_it, rtol=0, atol=1e-3)  # the variance has an epsilon
    assert (style - style_of_it).abs().max() > 1e-3


def test_adaptive_instance_norm_gives_the_features_the_styles_moments() -> None:
    x_NCHW = 7 + 3 * torch.randn(2, 4, 9, 9, dtype=torch.float64)
    style = torch.randn(2, 8, dtype=torch.float64)
    result = adaptive_instance_norm(x_NCHW, style)
    shift, scale = style[:, :4], style[:, 4:]
    torch.testing.assert_close(result.mean((2, 3)), shift)
    torch.testing.assert_close(result.std((2, 3), correction=0), scale.abs(), rtol=1e-5, atol=0)


def test_every_norm_of_a_block_has_numbers_of_its_own() -> None:
    block = StyledBlock(4).double()
    x_NCHW = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    first, second = (torch.randn(1, 8, dtype=torch.float64) for _ in range(2))

    def norm(y_NCHW: Tensor, style: Tensor) -> Tensor:
        centred = y_NCHW - y_NCHW.mean((2, 3), keepdim=True)
        unit = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
        return unit * style[0, 4:, None, None] + style[0, :4, None, None]

    def convolved(y_NCHW: Tensor, conv: nn.Conv2d) -> Tensor:
        return F.conv2d(F.pad(y_NCHW, (1, 1, 1, 1), mode="reflect"), conv.weight, conv.bias)

    hidden = norm(convolved(x_NCHW, block.first), first).clamp(min=0)
    expected = x_NCHW + norm(convolved(hidden, block.second), second)
    torch.testing.assert_close(block(x_NCHW, first, second), expected)


def test_the_style_changes_the_image() -> None:
    network = small()
    content = network.encode(torch.rand(1, 3, 16, 16)).content
    first, second = (network.decode(content, style) for style in torch.randn(2, 1, 3))
    assert (first - second).abs().max() > 1e-3


def test_an_image_is_put_together_from_its_own_codes() -> None:
    network, images = small(), torch.rand(2, 3, 16, 16)
    codes = network.encode(images)
    assert torch.equal(network(images), network.decode(codes.content, codes.style))


def test_first_weights_are_drawn_as_the_references() -> None:
    network = Autoencoder(channels=16, blocks=2)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 2000:
            fan_in = module.weight[0].numel()
            assert float(module.weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)
            assert not module.bias.any()
        elif isinstance(module, nn.GroupNorm):
            assert 0 <= float(module.weight.detach().min()) < 0.3 < 0.7 < float(module.weight.detach().max()) <= 1
    judge = Discriminator().scales[0]
    assert float(judge[4].weight.detach().std()) == pytest.approx(0.02, rel=0.02)


def test_each_level_of_the_pyramid_has_a_judge_of_its_own() -> None:
    network = Discriminator(scales=3, layers=2, channels=4)
    images = torch.randn(1, 3, 32, 32)
    verdicts = network(images)
    assert [logits.shape for logits in verdicts] == [(1, 1, 8, 8), (1, 1, 4, 4), (1, 1, 2, 2)]
    # An average over the pixels that are there: the border is not darkened.
    kernel = torch.ones(3, 1, 3, 3)
    there = F.conv2d(torch.ones(1, 3, 32, 32), kernel, stride=2, padding=1, groups=3)
    half = F.conv2d(images, kernel, stride=2, padding=1, groups=3) / there
    torch.testing.assert_close(verdicts[1], network.scales[1](half))


def test_a_logit_sees_46_pixels() -> None:
    network = Discriminator(scales=1, channels=2)
    nn.init.ones_(network.scales[0][-1].weight)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight)
    images = torch.randn(1, 3, 128, 128, requires_grad=True)
    network(images)[0][0, 0, 4, 4].backward()
    assert images.grad is not None
    seen = images.grad.abs().sum((0, 1))
    assert [int((seen.sum(axis) > 0).sum()) for axis in (0, 1)] == [46, 46]
