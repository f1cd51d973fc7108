"""The built-in augmentations, each held against another computation of the same."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from ganforge import Pixels, images
from ganforge.builtin import augmentations
from ganforge.builtin.augmentations.geometry import affine, elastic, flip_horizontal, flip_vertical, rotate, rotate_90
from ganforge.builtin.augmentations.warping import Fill, Places

PICTURE, MASK = Pixels(True, -1.0), Pixels(False, 0.0)
PARTS = {part.__name__: part for part in augmentations.ALL}


def smooth(channels: int = 3, height: int = 40, width: int = 40, seed: int = 0) -> Tensor:
    coarse = torch.rand(1, channels, 5, 5, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0].clamp(-1, 1)


def coordinates(height: int, width: int) -> Tensor:
    """A picture whose pixels say where they were."""
    down, right = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack((down, right))


class Given(random.Random):
    """Gives these shares of what it is asked for, and then the middle."""

    def __init__(self, *shares: float) -> None:
        super().__init__(0)
        self.shares = list(shares)

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * (self.shares.pop(0) if self.shares else 0.5)

    def shuffle(self, x: Any) -> None:
        pass


# What moves pixels


def test_a_quarter_turn_is_that_of_torch() -> None:
    picture = smooth()
    turned = rotate(picture, Given(1.0), 90.0, pixels=PICTURE)
    assert torch.allclose(turned, torch.rot90(picture, 1, (1, 2)), atol=1e-5)
    mask = (picture[:1] > 0).float()
    assert torch.equal(rotate(mask, Given(1.0), 90.0, pixels=MASK), torch.rot90(mask, 1, (1, 2)))


@pytest.mark.parametrize("size", [(40, 40), (24, 50)])
@pytest.mark.parametrize("degrees", [-33.0, 12.0])
def test_a_turn_is_that_of_torchvision(degrees: float, size: tuple[int, int]) -> None:
    picture = smooth(3, *size)
    ours = rotate(picture, Given(1.0 if degrees > 0 else 0.0), abs(degrees), "black", pixels=PICTURE)
    theirs = tv.rotate(picture, degrees, tv.InterpolationMode.BILINEAR, fill=-1.0)
    # Where a pixel is half outside, torchvision counts the outside twice.
    whole = tv.rotate(torch.ones(1, *size), degrees, tv.InterpolationMode.BILINEAR) > 0.999
    outside = tv.rotate(torch.ones(1, *size), degrees, tv.InterpolationMode.BILINEAR) == 0
    for alike in (whole, outside):
        assert alike.float().mean() > 0.05
        assert (ours - theirs)[alike.expand(3, -1, -1)].abs().max() < 1e-4


def test_all_at_once_is_that_of_torchvision() -> None:
    picture = smooth(1, 32, 48)
    ours = affine(picture, Given(1.0, 0.5, 1.0, 1.0, 1.0), 20.0, 0.125, (1.0, 1.2), 0.0, "black", pixels=PICTURE)
    theirs = tv.affine(picture, -20.0, [6, 4], 1.2, [0.0, 0.0], interpolation=tv.InterpolationMode.BILINEAR, fill=-1.0)
    assert (ours - theirs).abs()[:, 8:-8, 8:-8].max() < 1e-4


def test_a_shear_leans_to_the_right() -> None:
    picture = torch.full((1, 21, 41), -1.0)
    picture[:, :, 20] = 1
    leaning = Places(picture).shear(45).taken(picture, "black", PICTURE)
    assert leaning[0, 0].argmax() == 30
    assert leaning[0, 20].argmax() == 10


@pytest.mark.parametrize(("fill", "expected"), [("black", [-1, -1, 1]), ("edge", [1, 1, 1]), ("mirror", [2, 1, 1])])
def test_what_stands_where_a_picture_ends(fill: Fill, expected: list[int]) -> None:
    row = torch.tensor([1.0, 2, 3, 4]).expand(1, 3, 4)
    shifted = Places(row).shift(2, 0).taken(row, fill, PICTURE)[0, 1]
    assert torch.allclose(shifted[:3], torch.tensor(expected).float())


def test_whole_numbers_of_any_size_are_moved_exactly() -> None:
    classes = torch.tensor([[2**40 + 1, -7, 3]]).expand(1, 3, 3).clone()
    assert torch.equal(Places(classes).turn(180).taken(classes, "edge", MASK), classes.flip(1, 2))
    shifted = Places(classes).shift(1, 0).taken(classes, "black", MASK)
    assert torch.equal(shifted[0, 0], torch.tensor([0, 2**40 + 1, -7]))


def test_quarter_turns_are_as_likely_and_keep_the_shape() -> None:
    picture = smooth(1, 6, 6)
    turns = [torch.rot90(picture, k, (1, 2)) for k in range(4)]
    drawn = [rotate_90(picture, random.Random(seed)) for seed in range(400)]
    counts = [sum(torch.equal(each, turn) for each in drawn) for turn in turns]
    assert sum(counts) == 400
    assert min(counts) > 70
    oblong = smooth(1, 6, 8)
    drawn = [rotate_90(oblong, random.Random(seed)) for seed in range(100)]
    assert 30 < sum(torch.equal(each, oblong) for each in drawn) < 70
    assert all(torch.equal(each, oblong) or torch.equal(each, oblong.flip(1, 2)) for each in drawn)


def test_flips() -> None:
    picture = smooth(2, 5, 7)
    assert torch.equal(flip_horizontal(picture), picture.flip(2))
    assert torch.equal(flip_vertical(picture), picture.flip(1))


MOVES = sorted(name for name, part in PARTS.items() if getattr(part, "moves_pixels", False))


@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("size", [(32, 32), (24, 45)])
def test_what_corresponds_stays_so(name: str, size: tuple[int, int]) -> None:
    """Of a picture that says where its pixels were, a mask is made before, or after: it is the same."""
    places, part = coordinates(*size), PARTS[name]
    takes = "pixels" in part.__annotations__
    inside = lambda picture: ((picture[:1] > -0.3) & (picture[1:] < 0.4)).float()  # noqa: E731
    for seed in range(5):
        rng = [random.Random(seed)] if "rng" in part.__annotations__ else []
        again = [random.Random(seed)] if rng else []
        moved = part(places.clone(), *rng, **({"pixels": PICTURE} if takes else {}))
        mask = part(inside(places), *again, **({"pixels": MASK} if takes else {}))
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
        assert (inside(moved) != mask).float().mean() < 0.06  # along its border


def test_bending_goes_no_further_than_it_may() -> None:
    places = coordinates(64, 64) * 31.5
    shifts = [
        (elastic(places.clone(), random.Random(seed), 0.05, fill="edge", pixels=PICTURE) - places) for seed in range(20)
    ]
    assert 1 < max(float(shift.abs().max()) for shift in shifts) <= 0.05 * 64 * 1.4  # cubic curves go beyond corners
    assert abs(mean(float(shift.mean()) for shift in shifts)) < 0.5


# What changes colours


def unit(picture: Tensor) -> Tensor:
    return (picture + 1) / 2


def test_colours_are_jittered_as_by_torchvision() -> None:
    picture = smooth()
    changed = PARTS["colour"](picture, Given(1.0, 0.0, 1.0, 1.0), 0.3, 0.4, 0.5, 0.1)
    expected = tv.adjust_brightness(unit(picture), 1.3)
    expected = tv.adjust_contrast(expected, 0.6)
    expected = tv.adjust_hue(tv.adjust_saturation(expected, 1.5), 0.1)
    assert torch.allclose(unit(changed), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_what_has_no_colours_changes_in_brightness_and_contrast(channels: int) -> None:
    picture = smooth(channels)
    changed = PARTS["colour"](picture.clone(), Given(1.0, 0.5, 0.5, 0.5), 0.3, 0.0, 0.0, 0.0)
    seen = channels - (channels in (2, 4))
    assert torch.allclose(unit(changed)[:seen], (unit(picture)[:seen] * 1.3).clamp(0, 1), atol=1e-5)
    assert torch.equal(changed[seen:], picture[seen:])


def test_gamma_inversion_grey_and_few_levels() -> None:
    picture = smooth()
    assert torch.allclose(unit(PARTS["gamma"](picture, Given(1.0), 0.5, 2.0)), unit(picture) ** 2, atol=1e-6)
    assert torch.allclose(PARTS["invert"](picture), -picture, atol=1e-6)
    luma = (unit(picture) * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    assert torch.allclose(unit(PARTS["grey"](picture)), luma.expand(3, -1, -1), atol=1e-3)
    few = unit(PARTS["posterize"](picture, random.Random(0), 2, 2))
    assert torch.allclose(few.unique(), torch.arange(4) / 3, atol=1e-6)
    assert (few - unit(picture)).abs().max() <= 1 / 6 + 1e-6
    with pytest.raises(ValueError, match="of 5 channels has no colours to lose; name others"):
        PARTS["grey"](smooth(5))


# What is lost


def test_blur_is_a_gaussian() -> None:
    point = torch.full((1, 41, 41), -1.0)
    point[:, 20, 20] = 1
    spread = unit(PARTS["blur"](point, Given(1.0), 0.0, 2.0))[0]
    steps = torch.arange(-20, 21)
    assert float(spread.sum()) == pytest.approx(1, abs=1e-3)
    assert float((spread.sum(0) * steps**2).sum()) == pytest.approx(4, rel=0.03)
    tiny = smooth(3, 2, 2)
    assert PARTS["blur"](tiny, Given(1.0), 0.0, 5.0).shape == tiny.shape


def test_noise_has_the_strength_that_was_drawn() -> None:
    grey = torch.zeros(3, 64, 64)
    changed = PARTS["noise"](grey, Given(0.5), 0.2)
    assert float(changed.std()) == pytest.approx(0.1, rel=0.05)
    assert abs(float(changed.mean())) < 0.01


def test_rectangles_are_hidden_anywhere() -> None:
    hidden = [PARTS["cutout"](torch.ones(2, 40, 60), random.Random(seed), 0.25, 0.5) < 1 for seed in range(300)]
    shares = [float(each[0].float().mean()) for each in hidden]
    assert all(torch.equal(each[0], each[1]) for each in hidden)
    assert min(shares) >= 0.25**2 - 0.01
    assert max(shares) <= 0.25 + 0.01
    assert mean(shares) == pytest.approx(0.375**2, rel=0.1)
    reached = torch.stack([each[0] for each in hidden]).float().mean(0)
    assert min(reached.amax(0).min(), reached.amax(1).min()) > 0  # at the edges too


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_that_of_pillow(channels: int) -> None:
    picture = smooth(channels)
    file = io.BytesIO()
    images.to_pillow(images.to_uint8(picture)).save(file, "JPEG", quality=20)
    with Image.open(io.BytesIO(file.getvalue())) as read:
        expected = images.to_float(images.from_pillow(read, channels)[:channels])
    changed = PARTS["jpeg"](picture, random.Random(0), 20, 20)
    assert (changed - expected).abs().max() <= 2.5 / 127.5  # two decoders may round otherwise
    assert not torch.equal(changed, picture)


# Draws


def drawn(of: Callable[[random.Random], float]) -> list[float]:
    return [of(random.Random(seed)) for seed in range(500)]


def test_each_number_up_to_the_bound_is_as_likely() -> None:
    places = coordinates(33, 33)

    def angle(rng: random.Random) -> float:
        turned = rotate(places.clone(), rng, 30.0, pixels=PICTURE)
        return math.degrees(math.atan2(float(turned[0, 16, 26]), float(turned[1, 16, 26])))

    angles = drawn(angle)
    assert 28 < max(angles) < 30.1
    assert -30.1 < min(angles) < -28
    assert abs(mean(angles)) < 2.5
    assert stdev(angles) == pytest.approx(30 / math.sqrt(3), rel=0.08)


@pytest.mark.parametrize("name", ["zoom", "gamma", "blur", "posterize", "jpeg", "cutout"])
def test_bounds_in_the_wrong_order_are_refused(name: str) -> None:
    first, second = {"blur": ("least_px", "most_px")}.get(name, ("least", "most"))
    options: dict[str, Any] = {first: 4, second: 2} if name != "cutout" else {first: 0.4, second: 0.2}
    options |= {"pixels": PICTURE} if name == "zoom" else {}
    with pytest.raises(ValueError, match=r"there is nothing; the smaller number comes first"):
        PARTS[name](smooth(), random.Random(0), **options)
