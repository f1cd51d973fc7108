"""Which sizes of samples fit networks that do not take those of the data: found by trying, on fake tensors."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

from ganforge.api.datasets import Dataset, Samples
from ganforge.errors import Problem, RecipeError
from ganforge.recipe.model import Recipe

MULTIPLES = (2, 4, 8, 16, 32, 64, 128, 256)
"""Pixels: networks that halve and double their maps may want sides that these divide."""

_OF_SIZES = re.compile(
    r"differ in shape|[Ss]izes of tensors|must match the size|[Pp]adding size|[Kk]ernel size|more than 1 value"
    r"|too small|non-?positive|divisible|multiple of|invalid for input of size"
)
"""What parts and torch say of sizes that do not fit; to try others takes a dry run each."""

OPTIONS = ("crop_px", "size_px", "image_px")
"""What datasets call the size of their samples."""

Size = tuple[int, int]


def size_problem(recipe: Recipe, problems: Sequence[Problem], rehearse: Callable[[Recipe], object]) -> Problem | None:
    """What to say of the size of samples, where a recipe fits with others; None where that is not it.

    Args:
        recipe: it has faults with the samples that it has.
        problems: these faults.
        rehearse: raises a RecipeError where a recipe has a fault.
    """
    if not any(_OF_SIZES.search(problem.message) for problem in problems):
        return None
    sizes = {shape[1:] for shape in recipe.dataset.shapes().values() if len(shape) == 3}
    if len(sizes) != 1:
        return None
    (now,) = sizes

    def fits(size: Size) -> bool:
        try:
            rehearse(dataclasses.replace(recipe, dataset=_Resized(recipe.dataset, now, size)))
        except RecipeError:
            return False
        return True

    tried = {now}
    for multiple in MULTIPLES:
        height, width = (-(-side // multiple) * multiple for side in now)
        if (height, width) in tried:
            continue
        tried.add((height, width))
        if fits((height, width)):
            all_of_them = fits((height + multiple, width + 2 * multiple))
            sides = f", as others whose sides {multiple} divides" if all_of_them else ""
            message = f"samples of {now[0]} x {now[1]} pixels do not fit, and those of {height} x {width} do{sides}"
            wanted = f"{height}" if height == width else f"[{height}, {width}]"
            taken = {option.name for option in recipe.data.part.signature.options}
            option = next((name for name in OPTIONS if name in taken), None)
            cure = f"say {option}: {wanted}" if option else f"let the data give samples of {height} x {width}"
            return Problem(message, recipe.data.mark, cure)
    return None


class _Resized(Dataset):
    """A dataset whose pictures have another size."""

    def __init__(self, dataset: Dataset, now: tuple[int, ...], size: Size) -> None:
        self._dataset, self._now, self._size = dataset, now, size

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._resized(self._dataset.shapes())

    def validation_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._resized(self._dataset.validation_shapes())

    def train(self) -> Samples:
        return self._dataset.train()

    def __getattribute__(self, name: str) -> object:
        own = name.startswith("_") or name in ("shapes", "validation_shapes")
        return object.__getattribute__(self, name) if own else getattr(self._dataset, name)

    def _resized(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return {
            name: (shape[0], *self._size) if len(shape) == 3 and shape[1:] == self._now else shape
            for name, shape in shapes.items()
        }
