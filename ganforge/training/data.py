"""How everything that reads the data of a recipe gets at it; samples whose files are bad are replaced by others, and
those of a training augmented."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganforge.api.datasets import Sample, Samples
from ganforge.errors import BadFile, EnvironmentFault, Problem, RecipeError
from ganforge.images.listing import did_you_mean
from ganforge.recipe.model import Recipe
from ganforge.recipe.nodes import Node
from ganforge.rehearsal.random_data import RandomData
from ganforge.step.augmenting import Augmenter


def prepare_data(recipe: Recipe) -> None:
    """Find the recipe's data, or download them, but into the recipe's own folder only.

    Raises:
        RecipeError: they would be downloaded into a folder that is not there, and that was named elsewhere than the
            download: it may be mistyped.
        EnvironmentFault: something is missing or broken.
    """
    if not isinstance(recipe.dataset, RandomData):
        _refuse_strange_download(recipe)
    recipe.dataset.prepare()


def training_samples(recipe: Recipe) -> Samples:
    """The training samples as the dataset makes them; bad files are skipped if the recipe says so."""
    return _skipping(recipe, recipe.dataset.train())


def augmented(recipe: Recipe, samples: Samples) -> Samples:
    """Training samples as players learn from them: changed as `data.augment` says.

    Raises:
        RecipeError: an augmentation refuses its options.
    """
    return Augmented(samples, Augmenter(recipe.augment, recipe.dataset)) if recipe.augment else samples


def validation_samples(recipe: Recipe) -> Samples | None:
    """The validation samples, if there are some; bad files are skipped if the recipe says so."""
    samples = recipe.dataset.validation()
    return None if samples is None else _skipping(recipe, samples)


def _skipping(recipe: Recipe, samples: Samples) -> Samples:
    return Skipping(samples) if recipe.loader.on_bad_file == "skip" else samples


def _refuse_strange_download(recipe: Recipe) -> None:
    entries = recipe.node.mapping()["data"].mapping()
    root, download = entries.get("root"), entries.get("download")
    if not _is_text(root) or not _is_text(download) or root.mark.source.name == download.mark.source.name:  # type: ignore[union-attr]
        return
    assert root is not None
    assert download is not None
    folder = Path(root.text()).expanduser()
    if folder.is_dir() and any(folder.iterdir()):
        return
    problem = Problem(
        f"there is nothing in '{root.value}', and '{download.value}' is not downloaded into a folder that was named "
        f"elsewhere than the download{did_you_mean(folder)}",
        root.mark,
        f"correct data.root; or download it there on purpose:\n"
        f"ganforge data download {download.value} --root {root.value}",
    )
    raise RecipeError([problem])


def _is_text(node: Node | None) -> bool:
    return node is not None and isinstance(node.value, str)


# Bad files

TRIES = 20
"""Samples that are tried in the place of one that cannot be read."""


class Skipping(Samples):
    """The same samples; where a file of one is bad, another is drawn by the generator that was meant for it.

    So what is shown is a function of (seed, epoch, index) and of which files are bad: a resumed run shows the same.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples, self.in_workers = samples, samples.in_workers
        self.met: list[str] = []
        """What was wrong with the bad files met since `take`."""

    def __len__(self) -> int:
        return len(self.samples)

    def order(self, rng: random.Random) -> Sequence[int] | None:
        return self.samples.order(rng)

    def sample(self, index: int, rng: random.Random) -> Sample:
        before = rng.getstate()
        try:
            return self.samples.sample(index, rng)
        except BadFile as fault:
            last = self._note(fault)
        rng.setstate(before)  # how much was drawn before the fault may depend on the fault
        others = [rng.randrange(len(self)) for _ in range(TRIES)]
        after = rng.getstate()
        for other in others:
            rng.setstate(after)
            try:
                return self.samples.sample(other, rng)
            except BadFile as fault:
                last = self._note(fault)
        raise EnvironmentFault(
            f"{last}",
            f"{TRIES} samples drawn in the place of a bad one are bad too: is the data there, and of the\n"
            "kind that the recipe expects? `ganforge data inspect` looks at all",
        )

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        before = [rng.getstate() for rng in rngs]
        try:
            return self.samples.batch(indices, rngs)
        except BadFile:
            for rng, state in zip(rngs, before, strict=True):
                rng.setstate(state)
            return super().batch(indices, rngs)

    def take(self) -> tuple[str, ...]:
        """What was wrong with the bad files met since the last call."""
        met, self.met = tuple(self.met), []
        return met

    def _note(self, fault: BadFile) -> str:
        self.met.append(fault.message)
        return self.met[-1]


# Augmentations


class Augmented(Samples):
    """The same samples, changed by draws of the generators that they were made by, after all that these drew."""

    def __init__(self, samples: Samples, augmenter: Augmenter) -> None:
        self.samples, self.augmenter, self.in_workers = samples, augmenter, samples.in_workers

    def __len__(self) -> int:
        return len(self.samples)

    def order(self, rng: random.Random) -> Sequence[int] | None:
        return self.samples.order(rng)

    def sample(self, index: int, rng: random.Random) -> Sample:
        made = self.samples.sample(index, rng)
        return self.augmenter(made, rng) if self._fits(made) else made

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        made = self.samples.batch(indices, rngs)
        if not self._fits(made):
            return made
        fields = self.augmenter.fields
        rows = [self.augmenter({name: made[name][row] for name in fields}, rng) for row, rng in enumerate(rngs)]
        return made | {name: torch.stack([row[name] for row in rows]) for name in fields}

    def _fits(self, made: object) -> bool:
        """Whether there is what should be changed: what is wrong with samples, others tell better."""
        return isinstance(made, dict) and all(isinstance(made.get(name), Tensor) for name in self.augmenter.fields)


def taken(samples: Samples) -> tuple[str, ...]:
    """What was wrong with the bad files met since the last call; nothing where they are not skipped."""
    samples = samples.samples if isinstance(samples, Augmented) else samples
    return samples.take() if isinstance(samples, Skipping) else ()
