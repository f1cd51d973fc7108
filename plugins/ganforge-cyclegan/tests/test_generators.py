import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge_cyclegan.generators import ResnetBlock, ResnetGenerator, SkipBlock, UnetGenerator
from ganforge_cyclegan.layers import Padding


def resnet(**options: object) -> ResnetGenerator:
    return ResnetGenerator(**{"channels": 2, "blocks": 1} | options)  # type: ignore[arg-type]


def names(network: nn.Module, prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in network.state_dict() if name.startswith(prefix)}


@pytest.mark.parametrize("network", [resnet(in_channels=1, out_channels=4), UnetGenerator(5, 2, 1, 4)])
def test_images_keep_their_size_and_stay_in_range(network: nn.Module) -> None:
    images = network(100 * torch.randn(2, 1, 32, 64))
    assert images.shape == (2, 4, 32, 64)
    assert images.abs().max() <= 1


def test_resnet_rounds_sizes_up_to_multiples_of_4() -> None:
    assert resnet()(torch.zeros(1, 3, 17, 20)).shape == (1, 3, 20, 20)


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        ({"padding": "reflect"}, 1, 5),
        ({"padding": "replicate"}, 1, 5),
        ({"padding": "zero"}, 0, 3),
        ({"padding": "reflect", "dropout": 0.5}, 1, 6),
        ({"padding": "zero", "dropout": 0.5}, 0, 4),
    ],
)
def test_resnet_blocks_number_their_layers_as_the_reference(
    options: dict[str, object], first: int, second: int
) -> None:
    weights = {f"{place}.{kind}" for place in (first, second) for kind in ("weight", "bias")}
    assert names(resnet(**options), "model.10.conv_block.") == weights


@pytest.mark.parametrize(
    ("padding", "mode"), [("reflect", "reflect"), ("replicate", "replicate"), ("zero", "constant")]
)
def test_padding_is_what_the_option_says(padding: Padding, mode: str) -> None:
    block = ResnetBlock(4, norm="none", dropout=0.0, padding=padding).double()
    for weight in block.parameters():
        nn.init.constant_(weight, 1.0 if weight.ndim == 4 else 0.0)

    def sums(x_NCHW: Tensor) -> Tensor:  # what a convolution of ones does to positive images
        means = F.avg_pool2d(F.pad(x_NCHW, (1, 1, 1, 1), mode=mode), 3, stride=1)
        return 9 * means.sum(1, keepdim=True).expand_as(x_NCHW)

    x_NCHW = torch.rand(1, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x_NCHW), x_NCHW + sums(sums(x_NCHW)))


def test_batch_norm_replaces_the_biases_before_it() -> None:
    network = resnet(norm="batch")
    assert names(network, "model.1.") == {"weight"}
    assert names(network, "model.2.") == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert names(network, "model.18.") == {"weight", "bias"}


def test_without_a_norm_every_convolution_has_a_bias() -> None:
    for network in (resnet(norm="none"), UnetGenerator(5, 2, norm="none")):
        weights = names(network, "model.")
        assert {name.replace("bias", "weight") for name in weights if name.endswith("bias")} == {
            name for name in weights if name.endswith("weight")
        }


def dropouts(network: nn.Module) -> list[float]:
    return [module.p for module in network.modules() if isinstance(module, nn.Dropout)]


def test_dropout_is_a_probability_and_0_is_no_layer() -> None:
    assert dropouts(resnet(blocks=2)) == []
    assert dropouts(resnet(blocks=2, dropout=0.3)) == [0.3, 0.3]
    assert dropouts(UnetGenerator(7, 1)) == []
    assert dropouts(UnetGenerator(7, 1, dropout=0.3)) == [0.3, 0.3]


def test_unet_drops_on_the_levels_next_to_the_bottleneck() -> None:
    levels = [module for module in UnetGenerator(8, 1, dropout=0.5).modules() if isinstance(module, SkipBlock)]
    assert [isinstance(level.model[-1], nn.Dropout) for level in levels] == [False] * 3 + [True] * 3 + [False]


def test_unet_reaches_a_bottleneck_of_one_pixel() -> None:
    sizes: list[torch.Size] = []
    network = UnetGenerator(downs=5, channels=2)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, __, output: sizes.append(output.shape[-2:]))
    network(torch.zeros(1, 3, 32, 32))
    assert sizes == [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]


def test_skips_carry_the_input() -> None:
    block = SkipBlock(4, 8, None, "instance")
    x_NCHW = torch.randn(1, 4, 8, 8)
    assert torch.equal(block(x_NCHW)[:, :4], x_NCHW)


def test_no_activation_is_in_place() -> None:
    for network in (resnet(), UnetGenerator(5, 2)):
        activations = [module for module in network.modules() if isinstance(module, nn.ReLU | nn.LeakyReLU)]
        assert activations
        assert not any(activation.inplace for activation in activations)
