"""Path length, style mixing and DiffAugment against plain arithmetic."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge_stylegan2.diff_augment import brightness, contrast, cutout, diff_augment, saturation, translation
from ganforge_stylegan2.mix_styles import mix_styles
from ganforge_stylegan2.path_length import PathLength

MANY = 2000


def test_path_length_of_a_linear_map_is_known() -> None:
    torch.manual_seed(0)
    slopes = torch.randn(2, 5, 3 * 4 * 6, dtype=torch.float64)  # of each layer's style
    styles = torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    loss, mean = PathLength(decay=0.1).double(), 0.0
    for seed in range(3):
        images = torch.einsum("nls,lsp->np", styles, slopes).view(3, 3, 4, 6)
        torch.manual_seed(seed)
        found = float(loss(images, styles))
        torch.manual_seed(seed)
        y = torch.randn(3, 3 * 4 * 6, dtype=torch.float64) / math.sqrt(4 * 6)
        lengths = [
            math.sqrt(sum(float((slopes[layer] @ y[n]).square().sum()) for layer in range(2)) / 2) for n in range(3)
        ]
        mean = 0.9 * mean + 0.1 * sum(lengths) / 3
        assert found == pytest.approx(sum((length - mean) ** 2 for length in lengths) / 3)
        assert float(loss.mean_length) == pytest.approx(mean)


def test_styles_change_once_and_never_in_the_first_layer() -> None:
    torch.manual_seed(0)
    first, second = torch.zeros(MANY, 6, 2), torch.ones(MANY, 6, 2)
    mixed = mix_styles(first, second, 0.9)
    assert torch.equal(mixed[..., 0], mixed[..., 1])
    kinds = mixed[..., 0]
    assert not kinds[:, 0].any()
    assert (kinds.diff(dim=1) >= 0).all()
    layers = kinds.sum(1)
    assert (layers > 0).double().mean().item() == pytest.approx(0.9, abs=0.03)
    for count in range(1, 6):  # each crossover is as likely
        assert (layers == count).double().mean().item() == pytest.approx(0.9 / 5, abs=0.03)
    assert torch.equal(mix_styles(first, second, 0.0), first)


@pytest.fixture
def images() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(1, 3, 8, 8, dtype=torch.float64).expand(MANY, -1, -1, -1) + 0.1


def test_diff_augment_adds_a_brightness(images: Tensor) -> None:
    added = brightness(images) - images
    torch.testing.assert_close(added, added[:, :1, :1, :1].expand_as(added))
    assert -0.5 <= added.min() < -0.49 < 0.49 < added.max() < 0.5


def test_diff_augment_changes_the_distance_from_grey(images: Tensor) -> None:
    changed = saturation(images)
    grey = images.mean(1, keepdim=True)
    torch.testing.assert_close(changed.mean(1, keepdim=True), grey)
    factor = ((changed - grey) / (images - grey))[:, :1, :1, :1]
    torch.testing.assert_close(changed, grey + factor * (images - grey))
    assert 0 <= factor.min() < 0.01 < 1.99 < factor.max() < 2


def test_diff_augment_changes_the_contrast(images: Tensor) -> None:
    changed = contrast(images)
    mean = images.mean((1, 2, 3), keepdim=True)
    factor = ((changed - mean) / (images - mean))[:, :1, :1, :1]
    torch.testing.assert_close(changed, mean + factor * (images - mean))
    assert 0.5 <= factor.min() < 0.51 < 1.49 < factor.max() < 1.5


def test_diff_augment_moves_by_an_eighth_at_most(images: Tensor) -> None:
    framed = F.pad(images[0], (1, 1, 1, 1))
    windows = [framed[:, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    results = translation(images)
    shares = [float((results == window).all(3).all(2).all(1).double().mean()) for window in windows]
    assert sum(shares) == pytest.approx(1)
    assert shares == pytest.approx([1 / 9] * 9, abs=0.03)


def test_diff_augment_cuts_a_window_of_half_the_side(images: Tensor) -> None:
    cut = (cutout(images) == 0).all(1)
    rows, columns = cut.any(2), cut.any(1)
    assert torch.equal(cut, rows[:, :, None] & columns[:, None, :])
    for hit in (rows, columns):
        # The window's middle is one of nine places, two of them at each end so near that it stands out.
        sides = hit.sum(1)
        assert [(sides == side).double().mean().item() for side in (2, 3, 4)] == pytest.approx(
            [2 / 9, 2 / 9, 5 / 9], abs=0.04
        )
        assert (hit.int().diff(dim=1).abs().sum(1) <= 2).all()


def test_diff_augment_follows_its_policy(images: Tensor) -> None:
    assert torch.equal(diff_augment(images, ()), images)
    torch.manual_seed(1)
    expected = translation(contrast(saturation(brightness(cutout(images)))))
    torch.manual_seed(1)
    assert torch.equal(diff_augment(images, ("cutout", "colour", "translation")), expected)


def test_diff_augment_can_be_differentiated_twice() -> None:
    images = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def augmented(x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return diff_augment(x).tanh()

    assert torch.autograd.gradgradcheck(augmented, (images,))
