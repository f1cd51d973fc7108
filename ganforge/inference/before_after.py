"""Before and after: what a trained run makes of pictures, a pair for each, to be shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganforge import images
from ganforge.api.callbacks import Direction
from ganforge.errors import EnvironmentFault, UsageError
from ganforge.inference.trained_run import Trained
from ganforge.inference.translate import Translator
from ganforge.inference.translate.picture_types import cut
from ganforge.rehearsal.directions import directions
from ganforge.training.data import prepare_data, training_samples, validation_samples
from ganforge.training.validation import Validation


@dataclass(frozen=True)
class Exhibit:
    """A direction and what comes of it: uint8 `[3, H, W]`."""

    direction: Direction
    text: str
    """The expression of what is made."""
    before: list[Tensor] | None
    """What the pictures were made of; None where they are made of noise."""
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
        source, made = direction.source, direction.translated
        before = [images.shown(p, validation.looks.get(source)) for p in validation.drawn[source]] if source else None
        after = [images.shown(picture, validation.looks.get(made)) for picture in validation.drawn[made]]
        captions = [f"{'picture' if direction.source else 'sample'} {number}" for number in range(1, len(after) + 1)]
        exhibits.append(Exhibit(direction, _text(trained, direction), before, after, captions))
    return exhibits


def from_pictures(
    trained: Trained,
    paths: Sequence[Path],
    open_translator: Callable[[str], Translator],
    tell: Callable[[str], None] = lambda _: None,
) -> list[Exhibit]:
    """These pictures, at the sizes that they have; of files that hold several, as the dataset's do, the one that is
    translated.

    Args:
        open_translator: gives what translates in a direction.
        tell: told of each picture that cannot be shown, and why.

    Raises:
        UsageError: no direction starts from one picture.
        EnvironmentFault: no picture can be shown.
    """
    exhibits = []
    wrong: list[str] = []
    for direction in directions(trained.recipe, trained.plan.shapes):
        if direction.source is None:
            continue
        try:
            translator = open_translator(direction.name)
        except UsageError:  # it takes more than a picture
            continue
        if translator.choice.others:  # as this does
            continue
        shown = [(path, *pair) for path in paths if (pair := _before_and_after(path, translator, wrong.append))]
        before, after = [one for _, one, _ in shown], [other for _, _, other in shown]
        # A file system's name need not be text.
        captions = [os.fsencode(path.name).decode(errors="replace") for path, *_ in shown]
        exhibits.append(Exhibit(direction, _text(trained, direction), before, after, captions))
    if not exhibits:
        raise UsageError(f"{trained.recipe.name} makes nothing of one picture; leave out --pictures")
    if not any(exhibit.after for exhibit in exhibits):
        raise EnvironmentFault("\n".join(dict.fromkeys(wrong)))
    for line in dict.fromkeys(wrong):
        tell(line)
    return exhibits


def _before_and_after(path: Path, translator: Translator, tell: Callable[[str], None]) -> tuple[Tensor, Tensor] | None:
    try:
        picture, _ = translator.read(path)
        box, _ = translator.parted(*picture.shape[1:])
        picture = cut(picture, box) if box else picture
        finish = images.to_uint8 if translator.given.plain else torch.Tensor.float
        made = translator.translate(picture[None], finish)[0]
        looks, choice = translator.looks, translator.choice
        return images.shown(picture, looks.get(choice.field)), images.shown(made, looks.get(choice.signal))
    except (EnvironmentFault, UsageError) as error:
        tell(str(error) if str(path) in str(error) else f"{path}: {error}")
        return None


def _text(trained: Trained, direction: Direction) -> str:
    return trained.recipe.signals[direction.translated].text
