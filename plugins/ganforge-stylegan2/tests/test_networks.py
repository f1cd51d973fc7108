import math

import pytest
import torch
import torch.nn.functional as F

from ganforge_stylegan2.discriminator import Discriminator
from ganforge_stylegan2.mapping import Mapping
from ganforge_stylegan2.synthesis import Synthesis


def test_networks_have_as_many_parameters_as_the_reference() -> None:
    """At 256 px with half of the paper's channels, as the reference reports them."""

    def count(network: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    with torch.device("meta"):
        assert count(Mapping()) + count(Synthesis()) == 24_767_458
        assert count(Discriminator()) == 24_001_089


def test_a_style_is_repeated_for_every_layer() -> None:
    mapping = Mapping(size_px=32, latent_size=4, style_size=6, layers=2)
    latents = torch.randn(3, 4)
    styles = mapping(latents)
    assert styles.shape == (3, 8, 6)
    assert torch.equal(styles, styles[:, :1].expand(-1, 8, -1))
    torch.testing.assert_close(mapping(latents * 3), styles)  # only the direction of a latent vector counts


def test_every_layer_hears_its_own_style() -> None:
    synthesis = Synthesis(size_px=16, channels=4, style_size=6).eval()
    styles = torch.randn(1, 6, 6)
    before = synthesis(styles)
    for layer in range(6):
        moved = styles.clone()
        moved[:, layer] += 1
        assert not torch.equal(synthesis(moved), before)


def test_a_size_shares_the_style_of_the_colours_before_it() -> None:
    """The reference's count: 4 px have one convolution, all other sizes two, and colours hear the next one's style."""
    synthesis = Synthesis(size_px=8, channels=4, style_size=6).eval()
    heard: dict[str, torch.Tensor] = {}
    for name, layer in synthesis.named_modules():
        if name.endswith("affine"):
            layer.register_forward_pre_hook(lambda _, inputs, name=name: heard.update({name: inputs[0]}))
    styles = torch.arange(4.0)[None, :, None].expand(1, -1, 6)
    synthesis(styles)
    assert {name.removesuffix(".conv.affine"): int(style[0, 0]) for name, style in heard.items()} == {
        "first": 0,
        "first_colours": 1,
        "blocks.0.grow": 1,
        "blocks.0.refine": 2,
        "blocks.0.colours": 3,
    }


def test_images_are_the_sum_of_the_colours_of_all_sizes() -> None:
    synthesis = Synthesis(size_px=16, channels=4, style_size=6).eval()
    colours: list[torch.Tensor] = []
    for layer in (synthesis.first_colours, *(block.colours for block in synthesis.blocks)):  # type: ignore[union-attr]
        layer.register_forward_hook(lambda *call: colours.append(call[2]))
    image = synthesis(torch.randn(2, 6, 6))
    taps = torch.tensor([1.0, 3, 3, 1])
    kernel = (torch.outer(taps, taps) / 16)[None, None].expand(3, 1, 4, 4)
    total = colours[0]
    for added in colours[1:]:
        total = F.conv_transpose2d(total, kernel, stride=2, padding=1, groups=3) + added
    torch.testing.assert_close(image, total)


def test_noise_is_new_in_training_and_fixed_in_evaluation() -> None:
    synthesis = Synthesis(size_px=8, channels=4, style_size=6)
    styles = torch.randn(2, 4, 6)
    assert torch.equal(synthesis(styles), synthesis(styles))  # its strength starts at 0
    with torch.no_grad():
        for name, parameter in synthesis.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.1)
    assert not torch.equal(synthesis(styles), synthesis(styles))
    synthesis.eval()
    assert torch.equal(synthesis(styles), synthesis(styles))


def test_a_wrong_number_of_styles_is_refused() -> None:
    with pytest.raises(ValueError, match="made from 4 styles, not 6; give the mapping network the same size_px"):
        Synthesis(size_px=8, channels=4, style_size=6)(torch.randn(2, 6, 6))


@pytest.mark.parametrize(
    ("network", "given"),
    [
        (Mapping(size_px=8, latent_size=4, style_size=4, classes=3), torch.randn(2, 4)),
        (Discriminator(size_px=8, channels=4, classes=3), torch.randn(2, 3, 8, 8)),
    ],
)
def test_labels_are_taken_and_missed(network: torch.nn.Module, given: torch.Tensor) -> None:
    same, other = torch.tensor([0, 1]), torch.tensor([0, 2])
    ours, theirs = network(given, same), network(given, other)
    assert torch.equal(ours[0], theirs[0])
    assert not torch.allclose(ours[1], theirs[1])
    with pytest.raises(ValueError, match="a network with classes was given no labels"):
        network(given)


def test_labels_need_classes() -> None:
    with pytest.raises(ValueError, match="set its option `classes`"):
        Mapping(size_px=8, latent_size=4, style_size=4)(torch.randn(2, 4), torch.tensor([0, 1]))


def test_a_residual_block_is_two_convolutions_and_a_shortcut() -> None:
    block = Discriminator(size_px=8, channels=4).double().blocks[0]
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    taps = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64)
    kernel = (torch.outer(taps, taps) / 64)[None, None].expand(4, 1, 4, 4)
    first, second, shortcut = block.conv[0], block.conv[1], block.shortcut
    y = F.conv2d(x, first.conv.weight / 6, padding=1) + first.bias
    y = F.leaky_relu(y, 0.2) * math.sqrt(2)
    y = F.conv2d(F.conv2d(y, kernel, padding=2, groups=4), second.conv.weight / 6, stride=2) + second.bias
    y = F.leaky_relu(y, 0.2) * math.sqrt(2)
    skipped = F.conv2d(F.conv2d(x, kernel, padding=1, groups=4), shortcut.weight / 2)[..., ::2, ::2]
    torch.testing.assert_close(block(x), (y + skipped) / math.sqrt(2))
