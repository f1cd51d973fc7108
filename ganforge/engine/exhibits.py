"""Before and after: what a trained run makes of pictures, a pair for each, to be shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ganforge import images
from ganforge.engine.data import prepare_data, training_samples, validation_samples
from ganforge.engine.directions import directions
from ganforge.engine.trained import Trained
from ganforge.engine.translation import Translator
from ganforge.engine.validation import Validation
from ganforge.errors import UsageError
from ganforge.parts import Direction


@dataclass(frozen=True)
class Exhibit:
    """A direction and what comes of it: uint8 `[C, H, W]`, C = 1 or 3."""

    direction: Direction
    text: str
    """The expression of what is made."""
    before: list[Tensor] | None
    """None where pictures are made of noise."""
    after: list[Tensor]
    captions: list[str]


def from_dataset(trained: Trained) -> list[Exhibit]:
    """The recipe's validation samples, as many as `run.images_count`; training samples where it has no others.

    Raises:
        EnvironmentFault: the dataset is not here.
    """
    recipe = trained.recipe
    prepare_data(recipe)
    held_out = validation_samples(recipe)
    samples = training_samples(recipe) if held_out is None else held_out
    found = directions(recipe, trained.plan.shapes)
    validation = Validation(trained.program(), trained.precision, samples, found)
    validation.panels()
    exhibits = []
    for direction in validation.directions:
        before = [images.to_uint8(p) for p in validation.drawn[direction.source]] if direction.source else None
        after = [images.to_uint8(picture) for picture in validation.drawn[direction.translated]]
        captions = [f"{'picture' if direction.source else 'sample'} {number}" for number in range(1, len(after) + 1)]
        exhibits.append(Exhibit(direction, _text(trained, direction), before, after, captions))
    return exhibits


def from_pictures(
    trained: Trained, paths: Sequence[Path], open_translator: Callable[[str], Translator]
) -> list[Exhibit]:
    """These pictures, at the sizes that they have.

    Args:
        trained: the run.
        paths: of the pictures.
        open_translator: gives what translates in a direction.

    Raises:
        UsageError: no direction starts from one picture.
        EnvironmentFault: a picture cannot be read.
    """
    exhibits = []
    for direction in directions(trained.recipe, trained.plan.shapes):
        if direction.source is None:
            continue
        try:
            translator = open_translator(direction.name)
        except UsageError:  # it takes more than a picture
            continue
        before = [images.read_image(path, translator.channels) for path in paths]
        after = [images.to_uint8(translator(picture)) for picture in before]
        captions = [path.name for path in paths]
        exhibits.append(Exhibit(direction, _text(trained, direction), before, after, captions))
    if not exhibits:
        raise UsageError(f"{trained.recipe.name} makes nothing of one picture; leave out --pictures")
    return exhibits


def _text(trained: Trained, direction: Direction) -> str:
    return trained.recipe.signals[direction.translated].text
