import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge.testing import check_network
from ganforge_r3gan.discriminator import Discriminator
from ganforge_r3gan.generator import Generator
from ganforge_r3gan.layers import Downsample, ResidualBlock, Upsample, conv

SMALL = {"channels": [8, 8, 4], "blocks": 1, "group_channels": 4}
LABEL = torch.tensor([2, 0, 2])


def small(network: Callable[..., nn.Module], **options: object) -> nn.Module:
    return network(**{**SMALL, "channels": (8, 8, 4)} | options)


def awake(network: nn.Module) -> nn.Module:
    """The network with all weights drawn: none that hides others by being 0."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.3)
    return network.double()


@pytest.mark.parametrize("classes", [None, 3])
def test_the_engine_can_use_the_generator(classes: int | None) -> None:
    check_network(Generator, (3, 64), *([LABEL] if classes else []), classes=classes, **SMALL)


@pytest.mark.parametrize("classes", [None, 3])
def test_the_engine_can_use_the_discriminator(classes: int | None) -> None:
    check_network(Discriminator, (3, 3, 16, 16), *([LABEL] if classes else []), classes=classes, **SMALL)


def test_each_stage_doubles_the_pictures() -> None:
    for stages in (1, 2, 4):
        images = small(Generator, channels=(4,) * stages, latents=5, out_channels=1)(torch.randn(2, 5))
        side = 2 ** (stages + 1)
        assert images.shape == (2, 1, side, side)
        assert small(Discriminator, channels=(4,) * stages, in_channels=1)(images).shape == (2,)


@pytest.mark.parametrize(
    ("network", "channels", "classes", "parameters"),
    [
        (Generator, (768, 768, 768, 768, 384), None, 22_429_824),
        (Discriminator, (768, 768, 768, 768, 384), None, 22_381_440),
        (Generator, (768, 768, 768, 768), 10, 20_781_952),
        (Discriminator, (768, 768, 768, 768), 10, 21_280_512),
    ],
)
def test_the_papers_networks_have_as_many_parameters_as_the_reference(
    network: Callable[..., nn.Module], channels: tuple[int, ...], classes: int | None, parameters: int
) -> None:
    with torch.device("meta"):
        built = network(channels=channels, classes=classes)
    assert sum(p.numel() for p in built.parameters()) == parameters


def test_a_block_is_two_biased_leaky_relus_between_three_convolutions() -> None:
    block = awake(ResidualBlock(4, expansion=2, group_channels=2, blocks=1))
    weights = block.state_dict()
    assert {name: tuple(value.shape) for name, value in weights.items()} == {
        "widen.weight": (8, 4, 1, 1),
        "widen.bias": (8,),
        "mix.weight": (8, 2, 3, 3),
        "mix.bias": (8,),
        "narrow.weight": (4, 8, 1, 1),
    }
    x_NCHW = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    y_NCHW = torch.einsum("oi,nihw->nohw", weights["widen.weight"][:, :, 0, 0], x_NCHW)
    y_NCHW = y_NCHW + weights["widen.bias"][:, None, None]
    y_NCHW = torch.where(y_NCHW > 0, y_NCHW, 0.2 * y_NCHW)
    groups = [
        F.conv2d(F.pad(y_NCHW[:, at : at + 2], (1,) * 4), weights["mix.weight"][at : at + 2]) for at in (0, 2, 4, 6)
    ]
    y_NCHW = torch.cat(groups, 1) + weights["mix.bias"][:, None, None]
    y_NCHW = torch.where(y_NCHW > 0, y_NCHW, 0.2 * y_NCHW)
    expected = x_NCHW + torch.einsum("oi,nihw->nohw", weights["narrow.weight"][:, :, 0, 0], y_NCHW)
    torch.testing.assert_close(block(x_NCHW), expected)


def test_blocks_start_as_the_identity() -> None:
    x_NCHW = torch.randn(2, 8, 5, 5)
    assert torch.equal(ResidualBlock(8, expansion=2, group_channels=4, blocks=4)(x_NCHW), x_NCHW)


@pytest.mark.parametrize("blocks", [1, 10])
def test_first_weights_have_the_papers_size(blocks: int) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(256, expansion=2, group_channels=64, blocks=blocks)
    gain = math.sqrt(2 / 1.04) * blocks ** (-1 / 4)
    assert block.widen.weight.std().item() == pytest.approx(gain / math.sqrt(256), rel=0.02)
    assert block.mix.weight.std().item() == pytest.approx(gain / math.sqrt(64 * 9), rel=0.02)
    assert conv(256, 256).weight.std().item() == pytest.approx(1 / math.sqrt(256), rel=0.02)


def test_a_networks_blocks_are_scaled_by_their_number() -> None:
    torch.manual_seed(0)
    networks = [
        small(network, channels=(128, 128), blocks=4, group_channels=64) for network in (Generator, Discriminator)
    ]
    for network in networks:
        blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
        assert len(blocks) == 8
        stds = [block.mix.weight.std().item() for block in blocks]
        assert stds == [pytest.approx(math.sqrt(2 / 1.04) * 8**-0.25 / math.sqrt(64 * 9), rel=0.02)] * 8


def test_first_weights_of_both_ends_and_of_classes() -> None:
    torch.manual_seed(0)
    G = small(Generator, channels=(512,), latents=64, classes=100).state_dict()
    D = small(Discriminator, channels=(512,), classes=100).state_dict()
    stds = {
        "model.0.patterns": 1,
        "model.0.scale.weight": 1 / math.sqrt(128),
        "label.weight": 1 / math.sqrt(100),
    }
    assert {name: G[name].std().item() for name in stds} == pytest.approx(stds, rel=0.03)
    stds = {
        "model.2.patterns": 1 / 4,
        "model.2.verdict.weight": 1 / math.sqrt(512),
        "label.weight": 1 / math.sqrt(100) / math.sqrt(512),
    }
    assert {name: D[name].std().item() for name in stds} == pytest.approx(stds, rel=0.03)


def binomial(channels: int) -> Tensor:
    """The reference's filter: [1, 2, 1] * [1, 1] in both directions, of sum 1."""
    taps = torch.tensor([1, 3, 3, 1], dtype=torch.float64)
    return (taps[:, None] * taps / 64).expand(channels, 1, 4, 4)


def test_resampling_is_a_convolution_with_the_binomial_filter() -> None:
    x_NCHW = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    up = F.conv_transpose2d(x_NCHW, 4 * binomial(3), stride=2, padding=1, groups=3)
    torch.testing.assert_close(Upsample()(x_NCHW), up)
    torch.testing.assert_close(Downsample()(x_NCHW), F.conv2d(x_NCHW, binomial(3), stride=2, padding=1, groups=3))


def test_the_generator_starts_as_scaled_patterns_made_larger() -> None:
    """While the blocks are the identity, a picture is its basis, upsampled, and mixed by 1x1 convolutions."""
    G = small(Generator, latents=5).double()
    noise = torch.randn(2, 5, dtype=torch.float64)
    weights = G.state_dict()
    x_NCHW = weights["model.0.patterns"] * (noise @ weights["model.0.scale.weight"].T)[:, :, None, None]
    x_NCHW = Upsample()(x_NCHW)
    x_NCHW = Upsample()(F.conv2d(x_NCHW, weights["model.4.weight"]))  # 8 to 4 channels before the size doubles
    torch.testing.assert_close(G(noise), F.conv2d(x_NCHW, weights["model.7.weight"]))


def test_the_discriminator_starts_as_a_linear_function() -> None:
    """While the blocks are the identity: 1x1 convolutions between halvings, then all of 4 x 4 pixels in one number."""
    D = small(Discriminator).double()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    weights = D.state_dict()
    x_NCHW = F.conv2d(Downsample()(F.conv2d(images, weights["model.0.weight"])), weights["model.3.weight"])
    x_NCHW = Downsample()(x_NCHW)
    features = (x_NCHW * weights["model.7.patterns"]).sum((2, 3))
    torch.testing.assert_close(D(images), features @ weights["model.7.verdict.weight"][0])


def test_a_class_moves_the_noise() -> None:
    G = awake(small(Generator, latents=5, classes=3))
    noise = torch.randn(3, 5, dtype=torch.float64)
    assert isinstance(G.label, nn.Embedding)
    torch.testing.assert_close(G(noise, LABEL), G.model(torch.cat((noise, G.label.weight[LABEL]), 1)))


def test_a_class_is_what_features_are_projected_on() -> None:
    D = awake(small(Discriminator, classes=3))
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    assert isinstance(D.label, nn.Embedding)
    expected = torch.einsum("nf,nf->n", D.model(images), D.label.weight[LABEL])
    torch.testing.assert_close(D(images, LABEL), expected)
    assert not torch.allclose(D(images, LABEL), D(images, LABEL.roll(1)))


@pytest.mark.parametrize(("network", "inputs"), [(Generator, (3, 64)), (Discriminator, (3, 3, 16, 16))])
def test_labels_are_for_networks_of_classes(network: Callable[..., nn.Module], inputs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="knows no classes: set its option 'classes'"):
        small(network)(torch.zeros(inputs), LABEL)
    with pytest.raises(ValueError, match="takes a label for each picture"):
        small(network, classes=3)(torch.zeros(inputs))


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the pictures are of 32 x 16 px, not 16"):
        small(Discriminator)(torch.zeros(2, 3, 32, 16))


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_channels_that_do_not_divide_into_groups_are_refused(network: Callable[..., nn.Module]) -> None:
    with pytest.raises(ValueError, match="6 channels, expanded to 12, do not divide into groups of 8"):
        small(network, channels=(8, 6), group_channels=8)
