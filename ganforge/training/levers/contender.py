"""A copy of a training that takes steps on noise, so that one way of computing them can be timed beside another."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ganforge.api.context import Progress
from ganforge.ranks.device import Precision, synchronize
from ganforge.ranks.division import Division
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.assembly import assemble
from ganforge.rehearsal.dry_run import DryRun
from ganforge.rehearsal.layers import Ratio
from ganforge.rehearsal.random_data import random_fields
from ganforge.training.levers.choosing import choose_levers
from ganforge.training.trainer import Trainer

ENDLESS = Progress(0, 1_000, 1_000_000)


@dataclass(frozen=True)
class Way:
    """How the steps of a recipe may be computed."""

    precision: str
    levers: Mapping[str, bool]

    def __str__(self) -> str:
        return ", ".join([self.precision, *(name for name, pulled in self.levers.items() if pulled)])

    def other(self, precision: str | None = None, **levers: bool) -> Way:
        """This way, but for what is given."""
        return Way(precision or self.precision, {**self.levers, **levers})


class Contender:
    """One way of computing steps, at work.

    Args:
        division: how many batches make a step; of one rank's lanes only the first is taken.
    """

    def __init__(self, recipe: Recipe, plan: DryRun, device: torch.device, division: Division, way: Way) -> None:
        alone = Division(division.batch, division.accumulate)
        self.way = way
        recipe = dataclasses.replace(recipe, run=recipe.run.model_copy(update={"precision": way.precision}))
        self.levers = choose_levers(recipe, plan, device, way.levers, alone)
        self.precision = Precision(way.precision, device, self.levers.channels_last)
        self.precision.set_up(recipe.run.deterministic)
        cast = assemble(recipe, self.precision)
        self.trainer = Trainer(recipe, cast, self.precision, ENDLESS, self.levers, alone)
        self.trainer.lanes.seed()
        self._deterministic = recipe.run.deterministic
        self.batches = [self._batch(recipe, number) for number in range(alone.accumulate)]

    def _batch(self, recipe: Recipe, number: int) -> dict[str, torch.Tensor]:
        dataset = recipe.dataset
        generator, size, kind = torch.Generator().manual_seed(number), recipe.loader.batch_size, self.precision.weights
        fields = random_fields(dataset.shapes(), dataset.dtypes(), size, generator, kind, ranges=dataset.ranges())
        return {name: self.precision.arrange(values.to(self.precision.device)) for name, values in fields.items()}

    def seconds(self, steps: int = 1) -> float:
        """The seconds of a step, as the mean of so many in a row."""
        self.precision.set_up(self._deterministic)  # which kernels may be used is the process's, not the trainer's
        synchronize(self.precision.device)
        start = time.perf_counter()
        for _ in range(steps):
            self.trainer.step(self.batches)
        synchronize(self.precision.device)
        return (time.perf_counter() - start) / steps


def side_by_side(contenders: Sequence[Contender], rounds: int, steps: int, limit_s: float) -> list[list[float]]:
    """Seconds of a step of each contender in each round, in turn, so that what else the machine does weighs on all.

    Args:
        rounds: how many, or fewer where the time is up; never less than two.
    """
    deadline = time.perf_counter() + limit_s
    times: list[list[float]] = [[] for _ in contenders]
    for number in range(rounds):
        # Who comes second finds a machine warmed up, and what the first one left in its caches.
        order = list(range(len(contenders)))
        for which in order if number % 2 == 0 else reversed(order):
            times[which].append(contenders[which].seconds(steps))
        if number and time.perf_counter() > deadline:
            break
    return times


def ratio(before: Sequence[float], after: Sequence[float]) -> Ratio:
    """How many times as fast the second is: round by round; but no more than the fastest rounds of both say, which
    nothing else at work on the machine has made slower."""
    each = [slow / fast for slow, fast in zip(before, after, strict=True)]
    return Ratio(min(statistics.median(each), min(before) / min(after)), min(each), max(each))
