"""Does an augmentation keep what the engine relies on?"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganforge.api.context import MAP, PICTURE, Pixels
from ganforge.errors import Mark, RecipeError, Source
from ganforge.failures.fault import PartFailed
from ganforge.plugins.registry import Part
from ganforge.recipe.model import PartUse
from ganforge.step.augmenting import Augmentation, single_threaded
from ganforge.testing.checking import CheckFailed, checked_options, name_of, run_checks, signature_of

SIZES = ((24, 24), (20, 31))
DRAWS = 8


def check_augmentation(
    augmentation: Callable[..., Any],
    *,
    channels: tuple[int, ...] = (1, 3, 4, 5),
    skip: tuple[str, ...] = (),
    **options: Any,
) -> None:
    """Check an augmentation as the engine uses it.

    | check | what must hold |
    |---|---|
    | `picture` | a picture of any number of channels keeps its shape and type, and is finite |
    | `repeat` | the `rng` that it is handed decides, and nothing else: no other generator, nothing of an earlier call |
    | `draws` | it changes something in some draws |
    | `pair` | what moves pixels moves those of pictures with other colours, and other channels, alike |
    | `maps` | what moves pixels moves masks and classes as it moves pictures, and gives them no new number |
    | `device` | what it makes itself lies where the picture lies |
    | `workers` | it can be handed to a loading process |

    Args:
        augmentation: a function, or a class with `__call__`, as it would be registered.
        channels: how many the pictures have that it takes.
        skip: names of checks that do not apply.
        options: of the function, or of the constructor.

    Raises:
        CheckFailed: with the check, what is wrong, and what to do.
        ValueError: `skip` names no check.
    """
    run_checks(augmentation, _Case(augmentation, channels, options), skip)


class _Case:
    """An augmentation, and pictures to try it on."""

    def __init__(self, augmentation: Callable[..., Any], channels: tuple[int, ...], options: Any) -> None:
        given = checked_options(augmentation, signature_of("augmentations", augmentation), options)
        self.part = Part("augmentations", name_of(augmentation), "tested", augmentation)
        self.use = PartUse(self.part, given, Mark(Source("test", ""), 0, 0))
        self.channels = channels
        self.moves = bool(getattr(augmentation, "moves_pixels", False))

    def made(self) -> Augmentation:
        """The augmentation, made anew."""
        try:
            return Augmentation(self.use)
        except RecipeError as refused:
            raise CheckFailed(refused.problems[0].message) from refused

    @single_threaded
    def changed(self, picture: Tensor, seed: int, pixels: Pixels = PICTURE, by: Augmentation | None = None) -> Tensor:
        """What becomes of a picture, or a map, by this draw."""
        return (by or self.made())(picture.clone(), random.Random(seed), pixels)

    def pictures(self) -> list[Tensor]:
        """Noise of each size and number of channels."""
        return [torch.rand(count, *size) * 2 - 1 for size in SIZES for count in self.channels]

    def check_picture(self) -> None:
        for picture in self.pictures():
            for seed in range(DRAWS):
                if not bool(torch.isfinite(self.changed(picture, seed)).all()):
                    raise CheckFailed("it gives NaN or infinity")

    def check_repeat(self) -> None:
        for picture in self.pictures()[: len(self.channels)]:
            used = self.made()
            first = [self.changed(picture, seed, by=used) for seed in range(DRAWS)]
            torch.manual_seed(5)
            random.seed(5)
            again = [self.changed(picture, seed, by=used) for seed in reversed(range(DRAWS))]
            if not all(map(torch.equal, first, reversed(again))):
                raise CheckFailed(
                    "one rng gives two pictures: draw all from the rng of the call, which can seed torch's\n"
                    "  torch.Generator().manual_seed(rng.getrandbits(63)), and keep nothing from call to call"
                )

    def check_draws(self) -> None:
        picture = self.pictures()[0]
        if all(torch.equal(self.changed(picture, seed), picture) for seed in range(4 * DRAWS)):
            raise CheckFailed("it changes nothing in any draw")

    def check_pair(self) -> None:
        for size in SIZES if self.moves else ():
            some, more = (torch.rand(1, *size) * 2 - 1).expand(self.channels[0], *size), max(self.channels)
            for seed in range(DRAWS):
                ours = self.changed(some, seed)
                theirs = self.changed(some[:1].expand(more, *size), seed)
                if not torch.allclose(ours[:1].expand_as(theirs), theirs, atol=1e-5):
                    raise CheckFailed("the channels of one picture are moved otherwise than those of another one")

    def check_maps(self) -> None:
        for size in SIZES if self.moves else ():
            down, right = (torch.linspace(-1, 1, side) for side in size)
            inside = ((down[:, None] + 0.3) ** 2 + (right[None] - 0.2) ** 2 < 0.4)[None]
            for seed in range(DRAWS):
                moved = self.changed(inside.float(), seed, MAP)
                self._refuse_new("a mask", moved, inside.float())
                classes = torch.randint(0, 100, (1, *size))
                self._refuse_new("classes", self.changed(classes, seed, MAP), classes)
                as_picture = self.changed(inside.float() * 2 - 1, seed) > 0
                if float((as_picture != (moved > 0)).float().mean()) > 0.1:
                    raise CheckFailed("masks are moved otherwise than pictures by the same rng")

    def _refuse_new(self, what: str, moved: Tensor, before: Tensor) -> None:
        if new := {*moved.unique().tolist()} - {*before.unique().tolist(), 0}:
            raise CheckFailed(
                f"{what} come out with {min(new):.4g}, which was not there: take a parameter `pixels: Pixels`; where\n"
                "  it is not `smooth`, take the nearest pixel, and fill with its `black`"
            )

    def check_device(self) -> None:
        try:
            for seed in range(DRAWS):
                self.changed(torch.empty(self.channels[0], 24, 24, device="meta"), seed)
        except (RuntimeError, PartFailed) as error:  # others: that it looks at values, which meta tensors have not
            if "device" in str(error) and not isinstance(error, NotImplementedError):
                raise CheckFailed("it mixes devices: make tensors with device=picture.device") from error

    def check_workers(self) -> None:
        try:
            pickle.dumps(self.made().made)
        except Exception as error:
            raise CheckFailed(f"it cannot be pickled ({error}): keep functions and files out of it") from error
