"""What discriminators said of late, in numbers that do not depend on the loss."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor

FAKES = ("fake", "pooled")
"""Fresh fakes tell more of the game than replayed ones."""
CHANCE = 0.51
"""A share of right verdicts up to here is a coin's: of a thousand verdicts, the standard error is 0.016."""


class Judge:
    """A discriminator's latest verdicts."""

    def __init__(self, readings: int) -> None:
        self.real: deque[float] = deque(maxlen=readings)
        """The share of real samples that it told rightly, by reading; empty where its loss has no boundary."""
        self.fake: deque[float] = deque(maxlen=readings)
        """The share of generated samples that it told rightly, by reading; empty likewise."""
        self.gap = 0.0
        """By how much the mean score of real samples was above that of fakes at the last reading."""
        self.spread: float | None = None
        """How much scores of one kind differ, a standard deviation, when last looked into."""
        self.order: float | None = None
        """The chance that a real sample is scored above a generated one, when last looked into."""

    def always_right(self, share: float) -> bool:
        """Whether at least this share of both kinds was told rightly in each reading that is kept.

        Without a boundary: whether so few pairs are in the wrong order as would be if both kinds were normal.
        """
        if self.real:
            return self._is_full and min(*self.real, *self.fake) >= share
        return self.order is not None and self.order >= 1 - (1 - share) / 4

    def never_right(self) -> bool:
        """Whether it did no better than a coin in each reading that is kept."""
        if self.real:
            told = [(real + fake) / 2 for real, fake in zip(self.real, self.fake, strict=True)]
            return self._is_full and max(told) <= CHANCE
        return self.order is not None and self.order <= CHANCE

    def recognises(self, share: float) -> bool:
        """Whether at least this share of fakes was told rightly in each reading that is kept, or pairs ordered."""
        if self.fake:
            return self._is_full and min(self.fake) >= share
        return self.order is not None and self.order >= share

    def advantage(self) -> float:
        """At the last reading, from -1, where the generator leads (no fake is recognised), to 1, where this does.

        Without a boundary: by how much real scores lead, of their spread, between these limits.
        """
        if self.fake:
            return 2 * self.fake[-1] - 1
        return max(-1.0, min(1.0, self.gap / self.spread)) if self.spread else 0.0

    def words(self) -> str:
        """What the judge tells rightly, for a message."""
        if self.real:
            return f"{_mean(self.fake):.1%} of the fakes and {_mean(self.real):.1%} of the real samples rightly"
        return f"{self.order or 0:.1%} of pairs of a real sample and a fake rightly"

    @property
    def _is_full(self) -> bool:
        return len(self.real) == self.real.maxlen


def _mean(values: deque[float]) -> float:
    return sum(values) / len(values)


class Judges(dict[str, Judge]):
    """All discriminators whose scores of real samples and of fakes are read, by name."""

    def __init__(self, readings: int) -> None:
        super().__init__()
        self.readings = readings

    def read(self, scalars: Mapping[str, float]) -> None:
        """Add a reading of `scores/<judge>/<input>` and `accuracy/<judge>/<input>`."""
        for tag in scalars:
            kind, _, rest = tag.partition("/")
            name, _, given = rest.rpartition("/")
            fake = next((fake for fake in FAKES if f"scores/{name}/{fake}" in scalars), None)
            if kind == "scores" and given == "real" and fake:
                judge = self.setdefault(name, Judge(self.readings))
                judge.gap = scalars[tag] - scalars[f"scores/{name}/{fake}"]
                if f"accuracy/{name}/real" in scalars and f"accuracy/{name}/{fake}" in scalars:
                    judge.real.append(scalars[f"accuracy/{name}/real"])
                    judge.fake.append(scalars[f"accuracy/{name}/{fake}"])

    def examine(self, distributions: Mapping[str, Tensor]) -> None:
        """Look into all verdicts of a step, `logits/<judge>/<input>`."""
        for name, judge in self.items():
            real = distributions.get(f"logits/{name}/real")
            fake = next((v for fake in FAKES if (v := distributions.get(f"logits/{name}/{fake}")) is not None), None)
            if real is not None and fake is not None:
                judge.order = order(real, fake)
                judge.spread = float((real.var(correction=0) + fake.var(correction=0)).div(2).sqrt())


def order(real: Tensor, fake: Tensor) -> float:
    """The chance that one of `real` is above one of `fake`, of equal ones half (the area under the ROC curve)."""
    ranked = fake.sort().values
    below = torch.searchsorted(ranked, real, right=False) + torch.searchsorted(ranked, real, right=True)
    return float(below.double().mean() / (2 * len(fake)))
