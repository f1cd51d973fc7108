"""Each formula against plain arithmetic on Python's floats."""

from collections.abc import Callable
from statistics import fmean

import pytest
import torch
from torch import Tensor

from ganforge_pix2pix import losses

FINE = [-2.5, -0.3, 0.0, 0.7, 1.4, 3.0]
COARSE = [0.2, -1.1]


def maps(*scales: list[float]) -> list[Tensor]:
    return [torch.tensor(scale, dtype=torch.float64).reshape(1, 1, 1, -1) for scale in scales]


@pytest.mark.parametrize("loss", [losses.multiscale_lsgan_g, losses.multiscale_lsgan_d, losses.feature_matching])
def test_the_engine_can_rely_on_it(check_loss: Callable[..., None], loss: Callable[..., Tensor]) -> None:
    check_loss(loss)


def test_a_generator_is_judged_at_every_scale_alike_whatever_its_size() -> None:
    value = losses.multiscale_lsgan_g(maps(FINE, COARSE))
    expected = fmean((x - 1) ** 2 for x in FINE) + fmean((x - 1) ** 2 for x in COARSE)
    assert value.item() == pytest.approx(expected, rel=1e-13)


def test_a_discriminator_learns_to_tell_real_from_fake_at_every_scale() -> None:
    value = losses.multiscale_lsgan_d(maps(FINE, COARSE), maps(COARSE, FINE))
    reals = fmean((x - 1) ** 2 for x in FINE) + fmean((x - 1) ** 2 for x in COARSE)
    fakes = fmean(x**2 for x in FINE) + fmean(x**2 for x in COARSE)
    assert value.item() == pytest.approx(reals + fakes, rel=1e-13)


def test_features_are_matched_as_the_reference_weighs_them() -> None:
    """4 / (layers + 1) for each layer and 1 / scales for each scale, whatever the sizes of the features."""
    scales, layers = 3, 4
    sizes = [(1, 2 + layer, 9 - scale, 8) for scale in range(scales) for layer in range(layers + 1)]
    fake, real = ([torch.randn(size, dtype=torch.float64) for size in sizes] for _ in range(2))
    reference = sum(
        4 / (layers + 1) * (1 / scales) * fmean((f - r).abs().flatten().tolist())
        for f, r in zip(fake, real, strict=True)
    )
    assert 4 * losses.feature_matching(fake, real).item() == pytest.approx(reference, rel=1e-12)


def test_the_features_of_the_real_images_are_a_target() -> None:
    fake, real = torch.randn(1, 2, 4, 4, requires_grad=True), torch.randn(1, 2, 4, 4, requires_grad=True)
    losses.feature_matching([fake], [real]).backward()  # type: ignore[no-untyped-call]
    assert fake.grad is not None
    assert real.grad is None


@pytest.mark.parametrize("real", [[(2, 4, 8, 8)], [(2, 4, 8, 8), (1, 4, 4, 4)]])
def test_features_of_other_shapes_are_refused(real: list[tuple[int, ...]]) -> None:
    fake = [torch.zeros(2, 4, 8, 8), torch.zeros(2, 4, 4, 4)]
    with pytest.raises(ValueError, match="differ in number or shape: judge images of one size"):
        losses.feature_matching(fake, [torch.zeros(shape) for shape in real])
