import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge.testing import check_network
from ganforge_cut.blur import BlurDown, BlurUp
from ganforge_cut.generator import Generator


def small(**options: object) -> Generator:
    return Generator(**{"channels": 2, "blocks": 2, "layers": (0, 4, 8, 11)} | options)


@pytest.mark.parametrize("method", [None, "encode"])
@pytest.mark.parametrize("antialias", [True, False])
def test_it_is_a_network(method: str | None, antialias: bool) -> None:
    # An encoder alone leaves the second half of the network without gradients.
    skip = ("gradients",) if method else ()
    check_network(
        Generator, (2, 3, 16, 16), method=method, skip=skip, channels=4, blocks=1, layers=[0, 4, 8], antialias=antialias
    )


@pytest.mark.parametrize("antialias", [True, False])
def test_encode_gives_the_features_of_the_translation(antialias: bool) -> None:
    G = small(antialias=antialias).double()
    images = torch.rand(2, 3, 16, 20, dtype=torch.float64) * 2 - 1
    translation = G(images)
    assert translation.image.shape == images.shape
    assert translation.image.abs().max() <= 1
    encoded = G.encode(images)
    assert [f.shape for f in encoded] == [f.shape for f in translation.features]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(encoded, translation.features, strict=True))


def test_features_are_the_layers_of_the_paper() -> None:
    """Appendix: pixels, the two downsampling convolutions, the first and the fifth residual block."""
    G = Generator(channels=2, blocks=9)
    images = torch.rand(1, 3, 16, 16)
    pixels, *features = G.encode(images)
    assert torch.equal(pixels, F.pad(images, (3, 3, 3, 3), mode="reflect"))
    assert [f.shape[1:] for f in features] == [(4, 16, 16), (8, 8, 8), (8, 4, 4), (8, 4, 4)]
    halvings = [number for number, module in enumerate(G.model) if isinstance(module, BlurDown)]
    blocks = [number for number, module in enumerate(G.model) if hasattr(module, "conv_block")]
    assert (halvings, blocks[0], blocks[4]) == ([7, 11], 12, 16)


def test_encode_runs_no_module_beyond_its_last_layer() -> None:
    G, ran = Generator(channels=2, blocks=9), set[int]()
    for number, module in enumerate(G.model):
        module.register_forward_hook(lambda *_, number=number: ran.add(number))
    G.encode(torch.rand(1, 3, 16, 16))
    assert ran == set(range(17))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((0, 14), "layer 14 is not in the encoder; its layers are 0 to 13"),
        ((4, 4), r"the layers \[4, 4\] are not in ascending order"),
        ((8, 4), r"the layers \[8, 4\] are not in ascending order"),
    ],
)
def test_layers_that_are_not_there_are_refused(layers: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(layers=layers)


def test_weights_have_the_names_of_the_reference() -> None:
    names = list(Generator(channels=2, blocks=1, layers=(0,)).state_dict())
    convolutions = ["1", "4", "8", "12.conv_block.1", "12.conv_block.5", "14", "18", "22"]
    filters = ["7.filt", "11.filt", "13.filt", "17.filt"]
    expected = {f"model.{c}.{kind}" for c in convolutions for kind in ("weight", "bias")} | {
        f"model.{name}" for name in filters
    }
    assert set(names) == expected


def convolved(x_NCHW: Tensor, row: list[float]) -> Tensor:
    """One filter row both ways, written without a convolution."""
    for dim in (2, 3):
        length = x_NCHW.shape[dim] - len(row) + 1
        x_NCHW = sum((weight * x_NCHW.narrow(dim, start, length) for start, weight in enumerate(row)), torch.zeros(()))
    return x_NCHW


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_halving_blurs_first(size: tuple[int, int]) -> None:
    x_NCHW = torch.rand(2, 3, *size, dtype=torch.float64)
    expected = convolved(F.pad(x_NCHW, (1, 1, 1, 1), mode="reflect"), [0.25, 0.5, 0.25])[:, :, ::2, ::2]
    torch.testing.assert_close(BlurDown(3).double()(x_NCHW), expected, rtol=0, atol=1e-15)


def test_doubling_is_bilinear() -> None:
    x_NCHW = torch.rand(2, 3, 6, 5, dtype=torch.float64)
    expected = F.interpolate(x_NCHW, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(BlurUp(3).double()(x_NCHW), expected, rtol=0, atol=1e-15)


def test_filters_do_not_learn() -> None:
    assert not any(isinstance(module, BlurDown | BlurUp) and list(module.parameters()) for module in small().modules())
    assert sum(isinstance(module, BlurDown | BlurUp) for module in small().modules()) == 4
    assert not any(isinstance(module, BlurDown | BlurUp) for module in small(antialias=False).modules())


def test_without_antialias_the_network_is_cyclegans() -> None:
    kinds = [type(module).__name__ for module in small(antialias=False).model]
    assert kinds[4:10] == ["Conv2d", "InstanceNorm2d", "ReLU"] * 2
    assert kinds[10:12] == ["ResnetBlock", "ResnetBlock"]
    assert kinds[12:18] == ["ConvTranspose2d", "InstanceNorm2d", "ReLU"] * 2


@pytest.mark.parametrize(("init", "std"), [("xavier", 0.02 * (2 / (9 * 512)) ** 0.5), ("normal", 0.02)])
def test_weights_start_as_in_the_reference(init: str, std: float) -> None:
    G = Generator(channels=64, blocks=1, layers=(0,), init=init)
    convolutions = [module for module in G.modules() if isinstance(module, nn.Conv2d)]
    first_of_block = G.model[12].conv_block[1]
    assert first_of_block.weight.std().item() == pytest.approx(std, rel=0.02)
    assert not any(conv.bias.any() for conv in convolutions if conv.bias is not None)
