"""ADA's transformations: each does what it says, as often as it should."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge_stylegan2 import augmentation
from ganforge_stylegan2.adaptive import AdaptiveAugment
from ganforge_stylegan2.augmentation import augment, product, recolour
from ganforge_stylegan2.warp import warp

ALWAYS = torch.tensor(1.0, dtype=torch.float64)
MANY = 4000


@pytest.fixture
def picture() -> Tensor:
    return torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def probability(p: float) -> Tensor:
    return torch.tensor(p, dtype=torch.float64)


# Sampling


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (2, 2), (33, 64)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_nothing_is_done_where_p_is_0(size: tuple[int, int], dtype: torch.dtype) -> None:
    images = torch.randn(3, 3, *size).to(dtype)
    p = torch.zeros((), dtype=torch.promote_types(dtype, torch.float32))
    assert torch.equal(augment(images, p), images)


def test_sampling_is_that_of_torch() -> None:
    """Its `grid_sample`, which has one derivative only, in coordinates from -1 to 1."""
    torch.manual_seed(0)
    images = torch.randn(8, 2, 9, 12, dtype=torch.float64)
    matrix = torch.eye(3, dtype=torch.float64) + torch.randn(8, 3, 3, dtype=torch.float64)
    matrix[:, :2, 2] *= 10
    y, x = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(12.0) - 5.5, indexing="ij")
    pixels = torch.stack((x, y, torch.ones_like(x)), dim=-1).double()
    sources = torch.einsum("nij,hwj->nhwi", matrix[:, :2], pixels) / torch.tensor([5.5, 4.0], dtype=torch.float64)
    expected = F.grid_sample(images, sources, padding_mode="reflection", align_corners=True)
    torch.testing.assert_close(warp(images, matrix), expected)


def test_sampling_and_the_pipeline_can_be_differentiated_twice() -> None:
    images = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    matrix = torch.eye(3, dtype=torch.float64) + 0.3 * torch.randn(2, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: warp(x, matrix).tanh(), (images,))

    def pipeline(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return augment(x, probability(0.8)).tanh()

    assert torch.autograd.gradgradcheck(pipeline, (images,))


# Geometry


def variants(step: Callable[..., Tensor], picture: Tensor, count: int = 200) -> Tensor:
    torch.manual_seed(0)
    return warp(picture.expand(count, -1, -1, -1), step(count, ALWAYS, picture.shape[2:]))


def shares(results: Tensor, expected: list[Tensor]) -> list[float]:
    """How many of the results are each of the expected pictures, exactly."""
    return [sum(torch.equal(result, known) for result in results) / len(results) for known in expected]


def test_mirror(picture: Tensor) -> None:
    results = variants(augmentation.mirror, picture)
    found = shares(results, [picture[0], picture[0].flip(2)])
    assert found == pytest.approx([0.5, 0.5], abs=0.1)
    assert sum(found) == 1


def test_quarter_turn(picture: Tensor) -> None:
    results = variants(augmentation.quarter_turn, picture)
    found = shares(results, [picture[0].rot90(turns, (1, 2)) for turns in range(4)])
    assert found == pytest.approx([0.25] * 4, abs=0.1)
    assert sum(found) == pytest.approx(1)


def test_whole_shift(picture: Tensor) -> None:
    results = variants(augmentation.whole_shift, picture, 500)
    framed = F.pad(picture, (2, 2, 2, 2), mode="reflect")[0]
    windows = [framed[:, y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
    found = shares(results, windows)
    assert sum(found) == pytest.approx(1)
    assert min(found) > 0  # the outermost are half as likely in each direction
    assert found[12] == pytest.approx(1 / 16, abs=0.03)


def test_rotation_keeps_lengths_and_takes_any_angle() -> None:
    torch.manual_seed(0)
    matrix = augmentation.rotation(MANY, ALWAYS, (16, 16))
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3, dtype=torch.float64).expand(MANY, 3, 3))
    assert torch.linalg.det(matrix).min() > 0.999
    angles = torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0])
    assert angles.std().item() == pytest.approx(math.pi / math.sqrt(3), rel=0.05)


def test_a_turned_picture_is_turned(picture: Tensor) -> None:
    """A ramp has the same values after turning, at the places that were turned with it."""
    side = torch.arange(9.0, dtype=torch.float64) - 4
    ramp = side.expand(1, 1, 9, 9)
    angle = torch.tensor([0.3], dtype=torch.float64)
    turned = warp(ramp, augmentation.turning(angle.cos(), angle.sin()))
    expected = math.cos(0.3) * side[None, :] - math.sin(0.3) * side[:, None]
    torch.testing.assert_close(turned[0, 0, 2:-2, 2:-2], expected[2:-2, 2:-2])


@pytest.mark.parametrize(("step", "sign"), [(augmentation.zoom, 1), (augmentation.stretch, -1)])
def test_zoom_and_stretch(step: Callable[..., Tensor], sign: int) -> None:
    torch.manual_seed(0)
    matrix = step(MANY, ALWAYS, (16, 16))
    width, height = -matrix[:, 0, 0].log2(), -matrix[:, 1, 1].log2()
    torch.testing.assert_close(height, sign * width)
    assert width.mean().item() == pytest.approx(0, abs=0.02)
    assert width.std().item() == pytest.approx(0.2, rel=0.05)


def test_fine_shift() -> None:
    torch.manual_seed(0)
    matrix = augmentation.fine_shift(MANY, ALWAYS, (16, 64))
    assert matrix[:, :2, 2].std(0).tolist() == pytest.approx([8, 2], rel=0.05)
    assert torch.equal(matrix[:, :2, :2], torch.eye(2, dtype=torch.float64).expand(MANY, 2, 2))


# Colours


def recoloured(step: Callable[..., Tensor], picture: Tensor, count: int = MANY) -> tuple[Tensor, Tensor]:
    """The grey `[count, 1, H, W]` and the distance from grey `[count, 3, H, W]` of a picture that a step changed."""
    torch.manual_seed(0)
    images = recolour(picture[..., :2, :2].expand(count, -1, -1, -1), step(count, ALWAYS))
    grey = images.mean(1, keepdim=True)
    return grey, images - grey


@pytest.fixture
def grey(picture: Tensor) -> Tensor:
    return picture[..., :2, :2].mean(1, keepdim=True)


@pytest.fixture
def colour(picture: Tensor, grey: Tensor) -> Tensor:
    return picture[..., :2, :2] - grey


def test_brightness(picture: Tensor, grey: Tensor, colour: Tensor) -> None:
    changed, kept = recoloured(augmentation.brightness, picture)
    added = changed - grey
    torch.testing.assert_close(kept, colour.expand_as(kept))
    torch.testing.assert_close(added, added[..., :1, :1].expand_as(added))
    assert added.std().item() == pytest.approx(0.2, rel=0.05)


def test_contrast(picture: Tensor, grey: Tensor, colour: Tensor) -> None:
    changed, distance = recoloured(augmentation.contrast, picture)
    factor = changed[:, :, :1, :1] / grey[..., :1, :1]
    torch.testing.assert_close(changed, factor * grey)
    torch.testing.assert_close(distance, factor * colour)
    assert factor.log2().std().item() == pytest.approx(0.5, rel=0.05)


def test_luma_flip(picture: Tensor, grey: Tensor, colour: Tensor) -> None:
    changed, kept = recoloured(augmentation.luma_flip, picture)
    torch.testing.assert_close(kept, colour.expand_as(kept))
    flipped = (changed - -grey).abs().amax((1, 2, 3)) < 1e-12
    torch.testing.assert_close(changed[~flipped], grey.expand_as(changed[~flipped]))
    assert flipped.double().mean().item() == pytest.approx(0.5, abs=0.05)


def test_hue(picture: Tensor, grey: Tensor, colour: Tensor) -> None:
    kept, turned = recoloured(augmentation.hue, picture)
    torch.testing.assert_close(kept, grey.expand_as(kept))
    torch.testing.assert_close(turned.norm(dim=1), colour.norm(dim=1).expand(MANY, -1, -1))
    cosine = F.cosine_similarity(turned, colour.expand_as(turned))
    torch.testing.assert_close(cosine, cosine[:, :1, :1].expand_as(cosine))  # one angle for the picture
    assert cosine.arccos().mean().item() == pytest.approx(math.pi / 2, rel=0.05)


def test_a_third_of_a_turn_of_hue_makes_red_green() -> None:
    third = torch.tensor([2 * math.pi / 3], dtype=torch.float64)
    matrix = augmentation.about_luma(torch.ones_like(third), third.cos(), third.sin())
    red = torch.tensor([1.0, 0, 0], dtype=torch.float64).view(1, 3, 1, 1)
    torch.testing.assert_close(recolour(red, matrix).flatten(), torch.tensor([0.0, 1, 0], dtype=torch.float64))


def test_saturation(picture: Tensor, grey: Tensor, colour: Tensor) -> None:
    kept, distance = recoloured(augmentation.saturation, picture)
    factor = distance[:, :1, :1, :1] / colour[:, :1, :1, :1]
    torch.testing.assert_close(kept, grey.expand_as(kept))
    torch.testing.assert_close(distance, factor * colour)
    assert factor.log2().std().item() == pytest.approx(1, rel=0.05)


def test_colours_need_three_channels() -> None:
    grey = torch.randn(2, 1, 8, 8)
    with pytest.raises(ValueError, match="of three channels, not 1; take the pipeline bg"):
        augment(grey, torch.tensor(0.5))
    assert augment(grey, torch.tensor(0.5), "bg").shape == grey.shape


# How often


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_each_transformation_happens_with_probability_p(p: float) -> None:
    torch.manual_seed(0)

    def changed(matrix: Tensor) -> float:
        identity = torch.eye(matrix.shape[1], dtype=torch.float64)
        return float((matrix != identity).flatten(1).any(1).double().mean())

    # Draws of flips and turns include doing nothing.
    effective = {augmentation.mirror: 1 / 2, augmentation.quarter_turn: 3 / 4}
    for step in augmentation.BLIT + augmentation.GEOMETRY:
        if step is augmentation.rotation:
            assert changed(step(MANY, probability(p), (256, 256))) == pytest.approx(1 - math.sqrt(1 - p), abs=0.03)
        else:
            expected = p * effective.get(step, 1)
            assert changed(step(MANY, probability(p), (256, 256))) == pytest.approx(expected, abs=0.03)
    both = product(*(augmentation.rotation(MANY, probability(p), (8, 8)) for _ in range(2)))
    assert changed(both) == pytest.approx(p, abs=0.03)
    for colour in augmentation.COLOUR:
        expected = p / 2 if colour is augmentation.luma_flip else p
        assert changed(colour(MANY, probability(p))) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("pipeline", "colours"), [("b", False), ("bg", False), ("bgc", True)])
def test_a_pipeline_has_its_kinds_only(pipeline: augmentation.Pipeline, colours: bool) -> None:
    torch.manual_seed(0)
    plain = torch.full((64, 3, 8, 8), 0.5, dtype=torch.float64)
    assert torch.allclose(augment(plain, ALWAYS, pipeline), plain) == (not colours)
    values = torch.randn(64, 3, 8, 8, dtype=torch.float64)
    only_moved = torch.isin(augment(values, ALWAYS, pipeline), values).all()
    assert bool(only_moved) == (pipeline == "b")


# p


def verdicts(value: float, count: int = 4) -> Tensor:
    return torch.full((count, 1), value)


def test_p_rises_where_reals_are_known_by_heart_and_falls_where_not() -> None:
    ada = AdaptiveAugment(interval=2, kimg=0.1)  # 8 images a change, 100 from 0 to 1
    seen = []
    for value in (3.0, 2.0, 5.0, 1.0, -1.0, 0.5, 0.1, 0.2, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0):
        ada.watch(verdicts(value))
        seen.append(round(float(ada.p), 6))
    assert seen == [0, 0.08, 0.08, 0.16, 0.16, 0.08, 0.08, 0.16, 0.16, 0.08, 0.08, 0, 0, 0]


def test_p_goes_from_0_to_1_in_as_many_images_as_asked() -> None:
    ada = AdaptiveAugment()
    for _ in range(500_000 // 1000):
        ada.watch(verdicts(1.0, 1000))
    assert float(ada.p) == pytest.approx(1, abs=1e-4)


def test_p_rests_at_the_target() -> None:
    ada = AdaptiveAugment(target=0.5, interval=1, start=0.25)
    for _ in range(3):
        ada.watch(torch.tensor([1.0, 2.0, 3.0, -1.0]))
    assert float(ada.p) == 0.25


def test_watching_hands_the_verdicts_on() -> None:
    logits = verdicts(1.0).requires_grad_()
    assert AdaptiveAugment().watch(logits) is logits


def test_p_and_what_was_seen_survive_a_checkpoint() -> None:
    ada, again = AdaptiveAugment(interval=2, kimg=0.1, start=0.5), AdaptiveAugment(interval=2, kimg=0.1)
    for _ in range(3):
        ada.watch(verdicts(1.0))
    again.load_state_dict(ada.state_dict())
    for one in (ada, again):
        one.watch(verdicts(-1.0))
    assert float(ada.p) == float(again.p) == pytest.approx(0.5 + 0.08 - 0.08)
