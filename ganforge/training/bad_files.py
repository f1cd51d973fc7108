"""Samples whose files cannot be read: another one takes their place, the same each time."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ganforge.api.datasets import Sample, Samples
from ganforge.errors import BadFile, EnvironmentFault

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


def taken(samples: Samples) -> tuple[str, ...]:
    """What was wrong with the bad files met since the last call; nothing where they are not skipped."""
    return samples.take() if isinstance(samples, Skipping) else ()
