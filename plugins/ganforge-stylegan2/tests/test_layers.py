"""Layers against loops that do the same the long way."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge_stylegan2.fir import Fir
from ganforge_stylegan2.layers import EqualConv, EqualLinear, MinibatchStd, ModulatedConv, Resize, activate, normalise

KERNEL = [[a * b / 64 for b in (1, 3, 3, 1)] for a in (1, 3, 3, 1)]


def double(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def filtered(image: Tensor, zeros: int, gain: float = 1.0) -> Tensor:
    """`[H, W]` filtered pixel by pixel, with zeros around it."""
    height, width = (side + 2 * zeros - 3 for side in image.shape)
    result = torch.zeros(height, width, dtype=image.dtype)
    for y in range(height):
        for x in range(width):
            for row in range(4):
                for column in range(4):
                    at_y, at_x = y + row - zeros, x + column - zeros
                    if 0 <= at_y < image.shape[0] and 0 <= at_x < image.shape[1]:
                        result[y, x] += gain * KERNEL[row][column] * image[at_y, at_x]
    return result


def spread(image: Tensor) -> Tensor:
    """`[H, W]` with a zero after each pixel in both directions."""
    result = torch.zeros(2 * image.shape[0], 2 * image.shape[1], dtype=image.dtype)
    result[::2, ::2] = image
    return result


def each(function, images: Tensor) -> Tensor:
    """A function of `[H, W]` for every channel of every sample."""
    return torch.stack([torch.stack([function(channel) for channel in image]) for image in images])


@pytest.fixture
def fir() -> Fir:
    return Fir().double()


def test_blurring_is_the_filter_pixel_by_pixel(fir: Fir) -> None:
    images = double(2, 3, 4, 6)
    torch.testing.assert_close(fir.blur(images, padding=2), each(lambda image: filtered(image, 2), images))


def test_shrinking_keeps_every_second_pixel_of_the_filtered(fir: Fir) -> None:
    images = double(2, 3, 4, 6)
    torch.testing.assert_close(fir.shrink(images), each(lambda image: filtered(image, 1)[::2, ::2], images))


def test_enlarging_filters_the_pixels_with_zeros_between_them(fir: Fir) -> None:
    images = double(2, 3, 4, 6)
    # Two zeros before and one after: the filter has no middle.
    expected = each(lambda image: filtered(spread(image), 2, gain=4)[:-1, :-1], images)
    torch.testing.assert_close(fir.enlarge(images), expected)


def test_a_plain_surface_stays_plain(fir: Fir) -> None:
    images = torch.full((1, 1, 8, 8), 0.7, dtype=torch.float64)
    for result in (fir.shrink(images), fir.enlarge(images)):
        torch.testing.assert_close(result[..., 1:-1, 1:-1], torch.full_like(result[..., 1:-1, 1:-1], 0.7))


def test_resizing_can_be_differentiated_twice(fir: Fir) -> None:
    images = double(1, 2, 4, 4).requires_grad_()
    for function in (fir.shrink, fir.enlarge):
        assert torch.autograd.gradgradcheck(lambda x, f=function: f(x).tanh(), (images,))


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_halving_convolution_filters_first(kernel: int, fir: Fir) -> None:
    conv, images = EqualConv(2, 3, kernel, "halve").double(), double(2, 2, 6, 6)
    weight = conv.weight / math.sqrt(2 * kernel**2)
    blurred = each(lambda image: filtered(image, 1 + kernel // 2), images)
    torch.testing.assert_close(conv(images), F.conv2d(blurred, weight, stride=2))


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("resize", ["none", "double"])
def test_a_modulated_convolution_is_a_convolution_of_its_own_for_each_sample(resize: Resize, demodulate: bool) -> None:
    conv = ModulatedConv(3, 5, 3, 4, demodulate, resize).double()
    images, styles = double(2, 3, 6, 6), double(2, 4)
    for sample, result in enumerate(conv(images, styles)):
        scale = styles[sample] @ (conv.affine.weight / 2).T + conv.affine.bias
        weight = conv.weight / math.sqrt(3 * 9) * scale[None, :, None, None]
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        image = images[sample : sample + 1]
        if resize == "double":
            grown = F.conv_transpose2d(image, weight.transpose(0, 1), stride=2)
            expected = each(lambda channel: filtered(channel, 1, gain=4), grown)
        else:
            expected = F.conv2d(image, weight, padding=1)
        torch.testing.assert_close(result, expected[0])


def test_demodulation_keeps_the_variance_whatever_the_style() -> None:
    torch.manual_seed(0)
    conv = ModulatedConv(64, 64, 3, 8)
    with torch.no_grad():
        conv.affine.bias.mul_(50)
        result = conv(torch.randn(4, 64, 16, 16), torch.randn(4, 8))[..., 1:-1, 1:-1]
    assert result.std().item() == pytest.approx(1, abs=0.05)


def test_minibatch_deviation_is_that_within_each_group() -> None:
    images = double(6, 3, 2, 2)
    result = MinibatchStd(3)(images)
    assert torch.equal(result[:, :3], images)
    for number in range(2):
        group = images[number::2]  # three samples, every second
        mean = group.sum(0) / 3
        variance = sum((image - mean) ** 2 for image in group) / 3
        expected = (variance + 1e-8).sqrt().mean()
        torch.testing.assert_close(result[number::2, 3], expected.expand(3, 2, 2))


@pytest.mark.parametrize(("batch", "group", "taken"), [(4, 4, 4), (8, 4, 4), (6, 4, 3), (3, 4, 3), (5, 4, 1)])
def test_a_batch_is_divided_into_the_largest_groups_that_fit(batch: int, group: int, taken: int) -> None:
    images = double(batch, 1, 2, 2)
    assert len(MinibatchStd(group)(images)[:, 1, 0, 0].unique()) == (batch // taken if taken > 1 else 1)


def test_learning_rates_are_equalised() -> None:
    torch.manual_seed(0)
    slow = EqualLinear(256, 256, speed=0.01)
    assert slow.weight.std().item() == pytest.approx(100, rel=0.02)
    output = slow(torch.randn(64, 256))
    assert output.std().item() == pytest.approx(1, rel=0.05)
    output.sum().backward()
    assert slow.bias.grad is not None
    torch.testing.assert_close(slow.bias.grad, torch.full((256,), 0.64))
    conv = EqualConv(64, 64, 3)
    assert conv.weight.std().item() == pytest.approx(1, rel=0.02)
    assert conv(torch.randn(2, 64, 32, 32)).std().item() == pytest.approx(1, rel=0.05)


def test_activations_keep_the_scale() -> None:
    values = torch.tensor([-1.0, 2.0])
    torch.testing.assert_close(activate(values), torch.tensor([-0.2, 2.0]) * 2**0.5)
    vectors = normalise(double(3, 16) * 7)
    torch.testing.assert_close(vectors.square().mean(1), torch.ones(3, dtype=torch.float64))
