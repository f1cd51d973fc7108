"""Diseases of the game between players: one wins, one is silent, or none can hold what it has."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from itertools import groupby
from statistics import median

from ganforge import Direction, Run
from ganforge.builtin.callbacks.doctor.disease import DrawnDisease, Patience, ReadDisease, drawn, judging, making
from ganforge.builtin.callbacks.doctor.judges import Judge, Judges
from ganforge.builtin.callbacks.doctor.measures import distance

FAR = 0.6
"""Two sets of four real photographs of one kind are never so far apart: of 300 such pairs none was above 0.57."""


class DiscriminatorWins(DrawnDisease):
    """A discriminator makes no mistakes, and what it judges stays far from the real pictures.

    It told at least 98 % of fresh fakes and of real samples rightly in each of the latest readings (without a
    boundary: 99.5 % of pairs), and the pictures' distance is at least 0.6 and has not fallen by a tenth over the latest
    drawings. Accuracy alone is no sign: small discriminators of healthy runs reach 99.5 % while the pictures are good.
    A perfect discriminator's gradient tells the generator little (Arjovsky and Bottou 2017).
    """

    cure = (
        "Weaken the discriminator (a lower learning rate, fewer channels, a gradient penalty such as r1, noise on what "
        "it sees), or give the generator's adversarial loss more weight."
    )

    def overrides(self, run: Run) -> list[str]:
        return run.scaled_rates(judging(run), 0.5)

    def __init__(self, patience: Patience) -> None:
        super().__init__(patience)
        self._distances: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=patience.drawings))

    def look(self, run: Run, judges: Judges) -> Iterator[str]:
        for direction, judge in _judged(run, judges):
            far = _distance(run, direction) if judge.always_right(0.98) else 0.0
            lately = self._distances[direction.name]
            lately.append(far)
            if len(lately) == lately.maxlen and min(lately) >= FAR and far >= 0.9 * lately[0]:
                yield (
                    f"{direction.judge} tells {judge.words()}, and {direction.translated} comes no nearer to "
                    f"{direction.target} (distance {lately[0]:.2g}, and {far:.2g} at step {run.step})"
                )


class DiscriminatorCollapses(DrawnDisease):
    """A discriminator cannot tell fakes that are plainly none of the real pictures.

    It did no better than a coin in each of the latest readings (the mean of both accuracies at most 0.51; without a
    boundary, so many pairs in order), while the pictures' distance is at least 0.6. A coin alone is no sign: it is what
    training should end with (Goodfellow et al. 2014, theorem 1), and then the pictures are near.
    """

    cure = (
        "Strengthen the discriminator (a higher learning rate, more channels, less penalty or augmentation), and see "
        "whether gradients/* of its phase are zero and its real input is what it should be."
    )

    def overrides(self, run: Run) -> list[str]:
        return run.scaled_rates(judging(run), 2)

    def look(self, run: Run, judges: Judges) -> Iterator[str]:
        for direction, judge in _judged(run, judges):
            far = _distance(run, direction) if judge.never_right() else 0.0
            if self.lasts(direction.name, far >= FAR, self.patience.drawings):
                yield (
                    f"{direction.judge} tells {judge.words()}, no better than a coin, though {direction.translated} is "
                    f"far from {direction.target} (distance {far:.2g})"
                )


class Oscillation(ReadDisease):
    """The lead changes hands again and again: nearly all fakes are recognised, then nearly none.

    The share of fakes that are recognised, a mean over ten steps or, where statistics are read more seldom, over a
    reading, goes from above 0.8 to below 0.2 or back at least four times, within eight times as many of these means as
    the patience has readings. Without a boundary it is the lead of real scores, above and below 0.6 of their
    standard deviation. The band between, and the means, keep noise from counting: single steps of a healthy run with
    two samples a batch are anywhere between 0 and 1, means of ten between 0.25 and 0.74. Games whose players circle
    around each other do not converge (Mescheder et al. 2018). A swing that is shorter than a reading is not seen.
    """

    cure = (
        "Lower the learning rates or the optimizers' momentum (betas[0] of 0.5 or 0), damp the discriminator with a "
        "gradient penalty such as r1, and average the generator's weights (ema)."
    )

    def overrides(self, run: Run) -> list[str]:
        return run.scaled_rates(run.recipe.players, 0.5)

    CHANGES, STEPS = 4, 10

    def __init__(self, patience: Patience) -> None:
        super().__init__(patience)
        self._leads: defaultdict[str, deque[int]] = defaultdict(lambda: deque(maxlen=8 * patience.readings))
        self._values: defaultdict[str, list[float]] = defaultdict(list)
        self._since = patience.warmup_steps

    def read(self, run: Run, scalars: Mapping[str, float], judges: Judges) -> Iterator[str]:
        if run.step <= self.patience.warmup_steps:
            return
        for name, judge in judges.items():
            self._values[name].append(judge.advantage())
        if run.step - self._since < self.STEPS:
            return
        self._since = run.step
        for name, values in self._values.items():
            mean = sum(values) / len(values)
            values.clear()
            leads = self._leads[name]
            leads.append((mean > 0.6) - (mean < -0.6))
            changes = sum(1 for _ in groupby(lead for lead in leads if lead)) - 1
            if changes >= self.CHANGES:
                yield (
                    f"the game around {name} swings: in turn it recognised nearly all fakes and nearly none, {changes} "
                    f"changes so far"
                )


class VanishedGradient(ReadDisease):
    """A player that makes pictures has no gradient left.

    At each of the latest readings the norm is below a thousandth of the median of the first five, or its root mean
    square over the weights below 1e-8, which the epsilon of Adam swallows. Discriminators are left out: one that has
    won may have no gradient either, and is told of as such.
    """

    cure = (
        "Look for saturated outputs (tanh or sigmoid at their ends) and for weights that ran away, lower the learning "
        "rate, and take an adversarial loss that does not saturate (vanilla_g, lsgan_g, hinge_g)."
    )

    def overrides(self, run: Run) -> list[str]:
        return run.scaled_rates(making(run), 0.5)

    SHARE, FIRST, SWALLOWED = 1e-3, 5, 1e-8

    def __init__(self, patience: Patience) -> None:
        super().__init__(patience)
        self._early: defaultdict[str, list[float]] = defaultdict(list)

    def read(self, run: Run, scalars: Mapping[str, float], judges: Judges) -> Iterator[str]:
        owners = {run.recipe.owner(name) for name in judges}
        for phase in run.recipe.phases:
            norm = scalars.get(f"gradients/{phase.name}")
            if norm is None or phase.train in owners:
                continue
            early = self._early[phase.name]
            if len(early) < self.FIRST:
                early.append(norm)  # the very first may be a thousand times as large as all others
            share = self.SHARE if len(early) == self.FIRST else 0
            weights = sum(run.plan.parameters[name] for name in run.recipe.players[phase.train].networks)
            least = max(share * median(early), self.SWALLOWED * math.sqrt(weights))
            if self.lasts(phase.name, norm < least, self.patience.readings):
                yield f"the gradient of {phase.name} has vanished: its norm is {norm:.2g}, at first {median(early):.2g}"


def _judged(run: Run, judges: Judges) -> Iterator[tuple[Direction, Judge]]:
    """The directions whose judge's verdicts are known."""
    return ((each, judges[each.judge]) for each in run.directions if each.judge in judges)


def _distance(run: Run, direction: Direction) -> float:
    """The distance of what a direction makes from what it should be like; 0 where they cannot be compared."""
    pictures = drawn(run, direction.translated, direction.target)
    return distance(*pictures) if pictures else 0.0
