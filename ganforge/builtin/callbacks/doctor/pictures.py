"""Diseases that show in the fixed pictures."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ganforge import Direction, Run
from ganforge.builtin.callbacks.doctor.disease import DrawnDisease, drawn, less_of_the_way_back, making
from ganforge.builtin.callbacks.doctor.judges import Judges
from ganforge.builtin.callbacks.doctor.measures import GREY_LEVEL, SMALLEST_SPECTRUM_PX, correlation, regularity, spread
from ganforge.images import to_float, to_uint8


class CopiedInput(DrawnDisease):
    """A generator gives back what it was given.

    How much the translation differs from its source, in units of how much a source differs from a real picture of the
    target: below 0.02 it is a copy, and below 0.1 where the discriminator recognises 90 % of the fakes in each of the
    latest readings, so that the little that was changed is not what should be. Translations of horses, facades and
    shapes in healthy runs are at 0.35 to 1.1.
    """

    cure = (
        "Lower the weights of cycle and identity losses against the adversarial one (see shares/*), or let them end "
        "with a schedule; and see that the two domains differ."
    )

    def overrides(self, run: Run) -> list[str]:
        return less_of_the_way_back(run)

    COPY, NEAR = 0.02, 0.1

    def look(self, run: Run, judges: Judges) -> Iterator[str]:
        for direction in run.directions:
            if pictures := drawn(run, direction.source, direction.translated, direction.target):
                source, translated, target = pictures
                apart = torch.cdist(source.flatten(1), target.flatten(1), p=1).mean() / source[0].numel()
                change = float((translated - source).abs().mean() / apart.clamp_min(GREY_LEVEL))
                judge = judges.get(direction.judge)
                seen = change < self.COPY or (change < self.NEAR and judge is not None and judge.recognises(0.9))
                if self.lasts(direction.name, seen, self.patience.drawings):
                    yield (
                        f"{direction.translated} is a copy of {direction.source}: the change is {change:.1%} of what "
                        f"{direction.source} and {direction.target} differ by"
                    )


class LuminanceInversion(DrawnDisease):
    """A generator makes negatives: what was bright is dark.

    The brightness of translation and source correlates below -0.75 in the mean of the fixed pictures, and below -0.6 in
    each, where that of source and target of one sample does not: pairs may be negatives by nature. Healthy runs that
    make dark discs white come to -0.65. Inverting is cheap for a generator, and no cycle loss minds it: the other one
    inverts back.
    """

    cure = (
        "Start again with another run.seed: it is decided in the first steps. An identity loss for these steps, or a "
        "lower learning rate with warmup, makes it rarer."
    )
    MEAN, EACH = -0.75, -0.6

    def look(self, run: Run, judges: Judges) -> Iterator[str]:
        for direction in run.directions:
            if pictures := drawn(run, direction.source, direction.translated):
                source, translated = pictures
                found = correlation(source, translated)
                seen = float(found.mean()) < self.MEAN and float(found.max()) < self.EACH
                seen = seen and not self._by_nature(run, direction)
                if self.lasts(direction.name, seen, self.patience.drawings):
                    yield (
                        f"{direction.translated} is a negative of {direction.source}: their brightness correlates by "
                        f"{float(found.mean()):.2f}"
                    )

    def _by_nature(self, run: Run, direction: Direction) -> bool:
        pictures = drawn(run, direction.source, direction.target)
        return pictures is not None and float(correlation(*pictures).mean()) < self.EACH


class ModeCollapse(DrawnDisease):
    """A generator makes the same picture of everything.

    Its fixed pictures, shrunk to 16 x 16, differ from each other by less than 0.15 of what real ones do; for a
    translation, of what the sources or the real ones do, whichever differ less. Four real photographs of one kind
    differ by 0.52 to 1.65 of what four others do (300 draws), and pictures of healthy runs by 0.7 to 1.3. The loss of
    some modes, with others left, is not seen in so few pictures.
    """

    cure = (
        "Lower the generator's learning rate or raise the discriminator's, use a larger batch, or a loss against it: "
        "relativistic pairs (r3gan), minibatch statistics, a gradient penalty such as r1."
    )

    def overrides(self, run: Run) -> list[str]:
        return run.scaled_rates(making(run), 0.5)

    LEAST = 0.15

    def look(self, run: Run, judges: Judges) -> Iterator[str]:
        for direction in run.directions:
            made, *given = (drawn(run, name) for name in (direction.translated, direction.target, direction.source))
            if made is None:
                continue
            usual = min((spread(*pictures) for pictures in given if pictures), default=0.0)
            ratio = spread(*made) / max(usual, GREY_LEVEL)
            if self.lasts(direction.name, usual > GREY_LEVEL and ratio < self.LEAST, self.patience.drawings):
                yield (
                    f"the pictures of {direction.translated} are nearly one: they differ from each other by "
                    f"{ratio:.1%} of what real ones do"
                )


class Checkerboard(DrawnDisease):
    """Pictures carry a regular pattern of two or four pixels, as transposed convolutions leave it.

    In the spectrum of their brightness, at a multiple of a quarter of a cycle a pixel, a peak stands four times above
    all that is beside it on its row and column, holds at least half a percent of the energy, and stands four times
    higher than in the real pictures, whose JPEG blocks may have one. Four real photographs stay below 3.9 times and
    0.2 % of the energy (80 draws). Uneven overlap of kernels makes the pattern (Odena et al. 2016); up-convolutions
    distort spectra even without it (Durall et al. 2020). Networks that are new show it for a while: hence the warm-up.
    """

    cure = (
        "Put resizing and a convolution in place of transposed convolutions, or take kernels whose size is a multiple "
        "of the stride."
    )
    HEIGHT, SHARE = 4.0, 0.005

    def look(self, run: Run, judges: Judges) -> Iterator[str]:
        for direction in run.directions:
            made, real = drawn(run, direction.translated), drawn(run, direction.target)
            if not made or not real or min(made[0].shape[2:]) < SMALLEST_SPECTRUM_PX:
                continue
            (height, share), (usual, _) = regularity(*made), regularity(*real)
            seen = height > self.HEIGHT * max(1.0, usual) and share > self.SHARE
            if self.lasts(direction.name, seen, self.patience.drawings):
                yield (
                    f"{direction.translated} has a checkerboard: a pattern of two or four pixels stands {height:.0f} "
                    f"times above its neighbours in the spectrum, and holds {share:.1%} of the energy"
                )


class HiddenInformation(DrawnDisease):
    """A translation carries what nobody sees, and the way back lives on it.

    Each translation is rounded to 8 bits, and every value moved by two grey levels up or down at random, which no eye
    notices; then it is translated back. The error to the source grows by 2.5 times or more, and the recovered picture
    changes by three times what was done to the translation. In healthy runs the error grows by a few hundredths, and
    the change is half as large as the noise, or less. Chu et al. 2017, "CycleGAN, a Master of Steganography".
    """

    cure = (
        "Add noise to what is translated back, lower the weight of the cycle loss or let it end with a schedule, or "
        "give what the other domain cannot show a place of its own (a style, a mask)."
    )

    def overrides(self, run: Run) -> list[str]:
        return less_of_the_way_back(run)

    NOISE, GROWTH, GAIN = 2 * GREY_LEVEL, 2.5, 3.0

    def look(self, run: Run, judges: Judges) -> Iterator[str]:
        for direction in run.directions:
            pictures = drawn(run, direction.source, direction.recovered)
            if direction.recovered is None or pictures is None:
                continue
            source, before = pictures
            made = list(run.drawn[direction.translated])
            after = _computed(run, direction, [_disturbed(picture, self.NOISE) for picture in made])
            if seen := self._is_worse(source, before, after):
                # Or is it networks that draw at random, and recovered another picture?
                before = _computed(run, direction, made)
                seen = self._is_worse(source, before, after)
            if self.lasts(direction.name, seen, self.patience.drawings):
                yield (
                    f"{direction.translated} hides what {direction.recovered} is made of: two grey levels of noise on "
                    f"it raise the error to {direction.source} from {_error(source, before):.2g} to "
                    f"{_error(source, after):.2g}"
                )

    def _is_worse(self, source: Tensor, before: Tensor, after: Tensor) -> bool:
        gain = _error(before, after) / self.NOISE
        return gain > self.GAIN and _error(source, after) > self.GROWTH * _error(source, before)


def _disturbed(picture: Tensor, noise: float) -> Tensor:
    """The picture rounded to 8 bits, with every value moved up or down by this much."""
    random = torch.Generator().manual_seed(0)
    return to_float(to_uint8(picture)) + noise * (2 * torch.randint(0, 2, picture.shape, generator=random) - 1)


def _computed(run: Run, direction: Direction, translated: list[Tensor]) -> Tensor:
    """What these translations are translated back to: `[N, C, H, W]`."""
    return torch.stack(list(run.compute(direction.recovered or "", {direction.translated: translated})))


def _error(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().mean())
