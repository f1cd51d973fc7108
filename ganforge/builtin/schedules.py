"""Schedules: pure functions of the progress, so that a resumed run needs no state of theirs.

Those for learning rates return a factor. `per: epoch` holds it for an epoch and, like the public CycleGAN reference,
advances at the *start* of an epoch: epochs count from 1. `per: step` moves it a little at every step, from 0.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from ganforge import Progress

Per = Literal["epoch", "step"]
Epochs = Annotated[float, Field(ge=0)]
PositiveEpochs = Annotated[float, Field(gt=0)]


def _position(progress: Progress, per: Per) -> float:
    return progress.epoch + 1 if per == "epoch" else progress.epochs


def constant(progress: Progress, factor: float = 1.0) -> float:
    """The same factor all the time.

    Args:
        progress: how far the run is.
        factor: the factor, or the number itself.
    """
    return factor


def linear_decay(progress: Progress, hold_epochs: Epochs, decay_epochs: PositiveEpochs, per: Per = "epoch") -> float:
    """1 for `hold_epochs`, then a straight line to 0 over `decay_epochs` (Zhu et al. 2017, section 4).

    Per epoch it gives the public reference's rates exactly: `1 - max(0, epoch + 1 - hold) / (decay + 1)` with epochs
    from 1, so 2 + 2 epochs run at 1, 2/3, 1/3 and 0. With `hold_epochs` one larger, the rate is whole for the epochs
    that the paper says, and never 0.

    Args:
        progress: how far the run is.
        hold_epochs: epochs at the full rate.
        decay_epochs: epochs from there to 0.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
    """
    if per == "epoch":
        return 1.0 - min(max(0.0, progress.epoch + 2 - hold_epochs) / (decay_epochs + 1), 1.0)
    return 1.0 - min(max(0.0, progress.epochs - hold_epochs) / decay_epochs, 1.0)


def step_decay(
    progress: Progress, every_epochs: PositiveEpochs, factor: Annotated[float, Field(gt=0)] = 0.1, per: Per = "epoch"
) -> float:
    """Multiplied by `factor` every so many epochs.

    Args:
        progress: how far the run is.
        every_epochs: epochs from one drop to the next.
        factor: what the rate is multiplied by.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
    """
    return factor ** (_position(progress, per) // every_epochs)


def exponential(progress: Progress, factor: Annotated[float, Field(gt=0)], per: Per = "epoch") -> float:
    """Multiplied by `factor` each epoch.

    Args:
        progress: how far the run is.
        factor: what the rate is multiplied by.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
    """
    return factor ** _position(progress, per)


def cosine(
    progress: Progress,
    epochs: PositiveEpochs | None = None,
    floor: Annotated[float, Field(ge=0)] = 0.0,
    per: Per | None = None,
) -> float:
    """Half a cosine from 1 down to `floor`, then up again (Loshchilov and Hutter 2017, equation 5).

    Over `epochs`, by default moving per epoch as the public reference does; or, without them, over the whole run, by
    default per step.

    Args:
        progress: how far the run is.
        epochs: the time from 1 to `floor`.
        floor: the lowest factor.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
    """
    t = _part_done(progress, epochs, per)
    return floor + (1 - floor) * (1 + math.cos(math.pi * t)) / 2


def polynomial(
    progress: Progress,
    power: Annotated[float, Field(gt=0)] = 1.0,
    epochs: PositiveEpochs | None = None,
    per: Per | None = None,
) -> float:
    """`(1 - t) ** power`, where t runs from 0 to 1 over `epochs`, by default per epoch; or, without them, over the
    whole run, by default per step.

    Args:
        progress: how far the run is.
        power: 1 is a straight line; more falls faster at first.
        epochs: the time from 1 to 0.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
    """
    return (1.0 - min(_part_done(progress, epochs, per), 1.0)) ** power


def _part_done(progress: Progress, epochs: float | None, per: Per | None) -> float:
    if epochs is None:
        return _position(progress, per or "step") / progress.total_epochs
    return _position(progress, per or "epoch") / epochs


def warmup(
    progress: Progress, steps: Annotated[int, Field(ge=1)], start: Annotated[float, Field(ge=0, le=1)] = 0.0
) -> float:
    """A straight line from `start` to 1 over the first steps; list it beside another schedule to multiply the two.

    Args:
        progress: how far the run is.
        steps: how long the rise takes.
        start: the factor to begin with.
    """
    return start + (1.0 - start) * min((progress.step + 1) / steps, 1.0)


def glide(
    progress: Progress,
    start: float,
    end: float,
    steps: Annotated[int, Field(ge=1)],
    begin_step: Annotated[int, Field(ge=0)] = 0,
) -> float:
    """Half a cosine from `start` to `end` over `steps`, from `begin_step` on: a ramp that starts and ends gently.

    Args:
        progress: how far the run is.
        start: the number up to `begin_step`.
        end: the number from `begin_step + steps` on.
        steps: how long the change takes.
        begin_step: when it begins.
    """
    t = min(max(0, progress.step - begin_step) / steps, 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2


def half_life(
    progress: Progress,
    steps: Annotated[float, Field(ge=0)],
    start_steps: Annotated[float, Field(ge=0)] | None = None,
    over_steps: Annotated[int, Field(ge=1)] = 1,
    ramp_up: Annotated[float, Field(gt=0)] | None = None,
) -> float:
    """The `decay` of a moving average that forgets half of what it knew in `steps`: `0.5 ** (1 / steps)`.

    Args:
        progress: how far the run is.
        steps: the half-life; images divided by the images of a step. 0 keeps nothing: the average is the network.
        start_steps: a half-life to begin with, from which half a cosine leads to `steps` (R3GAN's burn-in, Huang et
            al. 2024, appendix D, https://arxiv.org/abs/2501.05441).
        over_steps: how long that takes.
        ramp_up: no half-life longer than this share of the steps done, so that the first weights are soon forgotten;
            0.05 in StyleGAN2-ADA (Karras et al. 2020, https://arxiv.org/abs/2006.06676).
    """
    life = steps if start_steps is None else glide(progress, start_steps, steps, over_steps)
    if ramp_up is not None:
        life = min(life, progress.step * ramp_up)
    return 0.5 ** (1 / life) if life > 0 else 0.0


def ramp(
    progress: Progress,
    end: float,
    steps: Annotated[int, Field(ge=1)],
    start: float = 0.0,
    begin_step: Annotated[int, Field(ge=0)] = 0,
) -> float:
    """A straight line from `start` to `end` over `steps`, from `begin_step` on: for weights and scalars.

    Args:
        progress: how far the run is.
        end: the number from `begin_step + steps` on.
        steps: how long the change takes.
        start: the number up to `begin_step`.
        begin_step: when it begins.
    """
    return start + (end - start) * min(max(0, progress.step - begin_step) / steps, 1.0)
