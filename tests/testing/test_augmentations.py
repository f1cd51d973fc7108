"""`check_augmentation` refuses each defect by name, and lets sound parts pass."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ganforge import Pixels, traits
from ganforge.testing import CheckFailed, check_augmentation


@traits(moves_pixels=True)
def slide(picture: Tensor, rng: random.Random, px: int = 3, *, pixels: Pixels) -> Tensor:
    """A sound one."""
    by = rng.randint(-px, px)
    moved = picture.roll(by, 2)
    moved[:, :, slice(0, by) if by >= 0 else slice(by, None)] = pixels.black
    return moved


class Dim:
    """A sound class."""

    def __init__(self, most: float = 0.5) -> None:
        self.most = most

    def __call__(self, picture: Tensor, rng: random.Random) -> Tensor:
        return (picture + 1) * rng.uniform(1 - self.most, 1) - 1


def test_sound_ones_pass() -> None:
    check_augmentation(slide, px=5)
    check_augmentation(Dim, most=0.2)


def crops(picture: Tensor) -> Tensor:
    return picture[:, 1:]


def colours_alone(picture: Tensor) -> Tensor:
    return picture * torch.tensor([1.0, 0.5, 0.2])[:, None, None]


def breaks(picture: Tensor, rng: random.Random) -> Tensor:
    return picture / rng.randrange(2)


def global_noise(picture: Tensor) -> Tensor:
    return picture + torch.randn(picture.shape) * 0.1


def global_choice(picture: Tensor) -> Tensor:
    return picture * random.random()


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, picture: Tensor) -> Tensor:
        self.calls += 1
        return picture / self.calls


def idle(picture: Tensor, rng: random.Random) -> Tensor:
    return picture


@traits(moves_pixels=True)
def by_channels(picture: Tensor, rng: random.Random) -> Tensor:
    return picture.roll([rng.randrange(5) for _ in picture][-1], 1)


@traits(moves_pixels=True)
def smoothed(picture: Tensor, rng: random.Random) -> Tensor:
    return ((picture + picture.roll(1, 2)) / 2).to(picture.dtype)


@traits(moves_pixels=True)
def pictures_alone(picture: Tensor, rng: random.Random, *, pixels: Pixels) -> Tensor:
    return picture.roll(10, 1) if pixels.smooth else picture


def on_the_host(picture: Tensor) -> Tensor:
    return picture * torch.linspace(0, 1, picture.shape[2])


class Held:
    def __init__(self) -> None:
        self.change = lambda picture: -picture

    def __call__(self, picture: Tensor) -> Tensor:
        return self.change(picture)


DEFECTS: dict[str, tuple[Callable[..., Any], str]] = {
    "crops": (crops, r"crops \[picture\]: .*it is given a tensor \[1, 24, 24\] and gives a tensor \[1, 23, 24\]"),
    "colours": (colours_alone, r"colours_alone \[picture\]: PartFailed|\[picture\]: .*tensor \[1, 24, 24\]"),
    "breaks": (breaks, r"breaks \[picture\]: it gives NaN or infinity"),
    "noise": (global_noise, r"global_noise \[repeat\]: one rng gives two pictures: draw all from the rng"),
    "choice": (global_choice, r"global_choice \[repeat\]: one rng gives two pictures"),
    "state": (Counting, r"Counting \[repeat\]: one rng gives two pictures"),
    "idle": (idle, r"idle \[draws\]: it changes nothing in any draw"),
    "channels": (by_channels, r"by_channels \[pair\]: the channels of one picture are moved otherwise"),
    "mask": (smoothed, r"smoothed \[maps\]: a mask come out with 0.5, which was not there: take a parameter `pixels"),
    "apart": (pictures_alone, r"pictures_alone \[maps\]: masks are moved otherwise than pictures"),
    "host": (on_the_host, r"on_the_host \[device\]: it mixes devices: make tensors with device=picture.device"),
    "pickle": (Held, r"Held \[workers\]: it cannot be pickled"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_told(name: str) -> None:
    part, message = DEFECTS[name]
    with pytest.raises(CheckFailed, match=message):
        check_augmentation(part)


def test_channels_and_checks_may_be_left_out() -> None:
    check_augmentation(colours_alone, channels=(3,), skip=("device",))
    with pytest.raises(ValueError, match="there is no check 'colour'"):
        check_augmentation(slide, skip=("colour",))


def bare(picture, rng):  # type: ignore[no-untyped-def]
    return picture


def two(first: Tensor, second: Tensor) -> Tensor:
    return first


class Mute:
    def __init__(self, most: float = 0.5) -> None:
        pass


class Early:
    def __init__(self, rng: random.Random) -> None:
        pass

    def __call__(self, picture: Tensor) -> Tensor:
        return picture


class Late:
    def __call__(self, picture: Tensor, most: float) -> Tensor:
        return picture


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (bare, "parameters 'picture' and 'rng' of 'bare'"),
        (two, "'two' takes 2 tensors, and an augmentation one, the picture: def two\\(picture: Tensor, rng"),
        (Mute, "the class 'Mute' has no method '__call__'; write it: it is given the picture"),
        (Early, "'Early' is given 'rng' at each call: make it a parameter of `__call__`"),
        (Late, "parameter 'most' of 'Late'.* is needed at each call; options are parameters of the constructor"),
    ],
)
def test_signatures_that_cannot_be(part: Callable[..., Any], message: str) -> None:
    with pytest.raises(CheckFailed, match=message):
        check_augmentation(part)
