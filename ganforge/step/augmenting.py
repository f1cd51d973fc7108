"""What augmentations make of a sample: pictures as floats in `[-1, 1]`, changed one after the other, and stored as
before."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ganforge import images
from ganforge.api.context import MAP, PICTURE, Pixels
from ganforge.api.datasets import Dataset, Sample
from ganforge.failures.blame import blame, refuse
from ganforge.plugins.signature import read_call
from ganforge.recipe.building import build, kind_of
from ganforge.recipe.model import AugmentUse, PartUse

F = TypeVar("F", bound=Callable[..., Any])


def single_threaded(function: F) -> F:
    """A function in which torch takes one thread, as in workers: with more, sums round otherwise, and who makes a
    sample would change it."""

    @functools.wraps(function)
    def alone(*arguments: Any, **named: Any) -> Any:
        threads = torch.get_num_threads()
        if threads == 1:
            return function(*arguments, **named)
        torch.set_num_threads(1)
        try:
            return function(*arguments, **named)
        finally:
            torch.set_num_threads(threads)

    return alone  # type: ignore[return-value]


class Augmentation:
    """A part of this kind, made by the options of a recipe."""

    def __init__(self, use: PartUse) -> None:
        factory = use.part.factory
        self.use, call = use, read_call(factory)
        self.made: Callable[..., Any] = build(use) if inspect.isclass(factory) else factory
        self.options = {} if inspect.isclass(factory) else use.options
        self.filled_in = call.injected
        (self.picture,) = call.inputs

    def __call__(self, picture: Tensor, rng: random.Random, pixels: Pixels) -> Tensor:
        """A picture, or a map, `[C, H, W]`, changed; the part may write into it.

        Raises:
            PartFailed: what comes out is of another shape, type or device.
        """
        kinds: dict[type, Any] = {random.Random: rng, Pixels: pixels}
        given = {name: kinds[kind] for name, kind in self.filled_in.items()} | self.options
        was = _described(picture)
        if self.picture.kind is inspect.Parameter.KEYWORD_ONLY:
            changed = self.made(**{self.picture.name: picture}, **given)
        else:
            changed = self.made(picture, **given)
        if not isinstance(changed, Tensor):
            raise refuse(f"it gives {kind_of(changed)}, not the picture changed", self.use)
        for before, now in zip(was, _described(changed), strict=True):
            if now != before:
                raise refuse(f"it is given {before} and gives {now}: shape, type and device must stay", self.use)
        return changed


class Augmenter:
    """All augmentations of a recipe, one after the other."""

    def __init__(self, uses: Sequence[AugmentUse], dataset: Dataset) -> None:
        self.steps = [(use, Augmentation(use.use)) for use in uses]
        self.maps = frozenset(dataset.dtypes())
        self.fields = tuple(dict.fromkeys(name for use in uses for group in use.groups for name in group))
        """The fields that may be changed."""

    @torch.no_grad()
    @single_threaded
    def __call__(self, sample: Sample, rng: random.Random) -> Sample:
        """These fields of a sample, each of the shape, type and device that it had.

        Each step draws one number for each group, from which the generator of each of its fields is seeded: so what
        is done to one is done to all, and how much a part draws changes nothing for the next.
        """
        opened: dict[str, Tensor] = {}
        for use, apply in self.steps:
            for group in use.groups:
                seed, chance = rng.getrandbits(64), rng.random()
                for name in group if chance < use.probability else ():
                    given = opened[name] if name in opened else self._open(name, sample[name])
                    pixels = MAP if name in self.maps else PICTURE
                    with blame(f"'{name}' of a sample cannot be augmented", use.use):
                        changed = apply(given, random.Random(seed), pixels)
                    # Networks know no brighter white.
                    opened[name] = changed.clamp(-1, 1) if pixels.smooth else changed
        return sample | {name: _close(opened[name], sample[name]) for name in opened}

    def _open(self, name: str, value: Tensor) -> Tensor:
        """A field as parts are given it: `[C, H, W]`, pictures as floats; not the dataset's own tensor."""
        deep = value if value.ndim > 2 else value[None]
        if name in self.maps or value.dtype not in (torch.uint8, torch.uint16):
            return deep.to(deep.dtype if name in self.maps else torch.float32, copy=True)
        return images.to_float(deep)


def _close(changed: Tensor, before: Tensor) -> Tensor:
    """A field as the dataset has it."""
    match before.dtype:
        case torch.uint8:
            changed = images.to_uint8(changed)
        case torch.uint16:
            changed = images.to_uint16(changed)
    return changed.to(before.dtype).reshape(before.shape)


def _described(tensor: Tensor) -> tuple[str, str, str]:
    return f"a tensor {list(tensor.shape)}", f"{tensor.dtype}", f"a tensor on {tensor.device}"
