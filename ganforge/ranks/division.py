"""How the samples of a step are divided: among ranks, by lanes, into batches that a device computes at once.

A lane is a part of every batch with a state of its own: replay buffers, random numbers, running statistics. A run has
as many lanes as it had ranks when it began, unless its recipe says how many; a rank computes one of them, or several
one after the other. So what a run computes depends on its lanes, and on how many ranks there are only in speed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ganforge.errors import Problem, RecipeError, UsageError
from ganforge.recipe.model import Recipe


@dataclass(frozen=True)
class Division:
    """The samples of a step, divided."""

    batch: int
    """Samples that a device computes at once."""
    accumulate: int = 1
    """Batches of a lane, whose gradients are averaged."""
    lanes: int = 1
    """Parts of the step's samples, each with a state of its own."""
    ranks: int = 1
    rank: int = 0
    dials: str = "data.batch_size"
    """The settings that decide over the samples of a step."""

    @property
    def lane_batch(self) -> int:
        """Samples of a lane."""
        return self.batch * self.accumulate

    @property
    def global_batch(self) -> int:
        """Samples of a step."""
        return self.lane_batch * self.lanes

    @property
    def mine(self) -> range:
        """The lanes of this rank: one, or several where there are fewer ranks than lanes."""
        return self.of(self.rank)

    def of(self, rank: int) -> range:
        """The lanes of a rank."""
        return range(self.lanes * rank // self.ranks, self.lanes * (rank + 1) // self.ranks)

    def owner(self, lane: int) -> int:
        """The rank of a lane."""
        return next(rank for rank in range(self.ranks) if lane in self.of(rank))

    def __str__(self) -> str:
        factors = [
            f"{self.ranks} rank{'s' if self.ranks > 1 else ''}" if self.ranks > 1 or self.lanes > 1 else "",
            f"{self.lanes} lanes" if self.lanes != self.ranks else "",
            f"{self.accumulate} batches" if self.accumulate > 1 else "",
        ]
        how = ", ".join(filter(None, factors))
        return f"{self.global_batch} = {how} of {self.batch}" if how else str(self.global_batch)


def divide(recipe: Recipe, ranks: int = 1, rank: int = 0, begun: int | None = None) -> Division:
    """How a recipe divides its batches among so many ranks.

    Args:
        recipe: `run.global_batch` keeps the samples of a step; `run.batch_per_device`, or `data.batch_size`, those that
            a device computes at once. Without `global_batch` more ranks make larger steps.
        ranks: processes that compute.
        rank: this one's number.
        begun: the lanes of a run that goes on.

    Raises:
        RecipeError: the settings contradict each other, or the number of ranks.
        UsageError: the run that goes on has fewer lanes than there are ranks.
    """
    settings, lanes = recipe.run, _lanes(recipe, ranks, begun)
    batch = settings.batch_per_device or recipe.loader.batch_size
    if settings.global_batch is None:
        dials = "run.batch_per_device" if settings.batch_per_device else "data.batch_size"
        return Division(batch, settings.accumulate, lanes, ranks, rank, dials)
    if settings.accumulate > 1:
        message = "run.global_batch says how many batches are averaged; leave run.accumulate out"
        raise _problem(recipe, "accumulate", message)
    if settings.global_batch % lanes:
        fitting = [n for n in range(1, settings.global_batch + 1) if settings.global_batch % n == 0]
        many = f"{lanes} lane{'s' if lanes > 1 else ''}"
        message = f"{settings.global_batch} samples cannot be divided into {many} of equal size"
        cure = f"take as many ranks as divide it: {', '.join(map(str, fitting))}; or another global_batch"
        raise _problem(recipe, "global_batch", message, cure)
    lane = settings.global_batch // lanes
    batch = next(size for size in range(min(batch, lane), 0, -1) if lane % size == 0)
    return Division(batch, lane // batch, lanes, ranks, rank, "run.global_batch")


def _lanes(recipe: Recipe, ranks: int, begun: int | None) -> int:
    """How many lanes there are: those that a run was begun with, or that the recipe asks for, or one a rank."""
    settings = recipe.run
    if begun is not None and settings.lanes not in (None, begun):
        raise _problem(recipe, "lanes", f"the run was begun with {begun} lanes, not {settings.lanes}")
    lanes = begun or settings.lanes or ranks
    if lanes < ranks:
        whose = "the run was begun with" if begun else "run.lanes is"
        cure = "" if begun else ", or raise run.lanes"
        raise UsageError(
            f"{whose} {lanes} lane{'s' if lanes > 1 else ''}, which cannot be spread over {ranks} ranks: a lane's "
            f"replay buffers and random numbers belong together",
            f"take at most {lanes} ranks{cure}",
        )
    if settings.sync_batch_norm and lanes > ranks:
        cure = f"start a new run of {ranks}" if begun else f"set run.lanes={ranks}"
        raise UsageError(
            f"run.sync_batch_norm takes statistics over ranks, but {ranks} cannot know those of {lanes} lanes at once",
            f"take {lanes} ranks, or {cure}",
        )
    return lanes


def divided(recipe: Recipe, division: Division) -> Recipe:
    """The recipe as each lane computes it."""
    loader = recipe.loader.model_copy(update={"batch_size": division.batch})
    run = recipe.run.model_copy(update={"accumulate": division.accumulate})
    return dataclasses.replace(recipe, loader=loader, run=run)


def length(recipe: Recipe, steps_per_epoch: int, ahead: int = 0) -> int:
    """The steps that a run has when it ends; `ahead` is how far its epochs are ahead of its steps."""
    settings = recipe.run
    limits = [settings.steps, settings.epochs and max(1, settings.epochs * steps_per_epoch - ahead)]
    return min(limit for limit in limits if limit)


def _problem(recipe: Recipe, key: str, message: str, cure: str = "") -> RecipeError:
    return RecipeError([Problem(f"run.{key}: {message}", recipe.node.at(("run", key)).mark, cure)])
