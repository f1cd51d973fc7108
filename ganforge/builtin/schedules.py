"""Schedules: pure functions of the progress, so that a resumed run needs no state of theirs.

Those for learning rates return a factor. `per: epoch` holds it for an epoch and, like the public CycleGAN reference,
advances at the *start* of an epoch: epochs count from 1. `per: step` moves it a little at every step, from 0.

How long something lasts is written in one of three ways: in epochs (`hold_epochs: 100`), in steps (`hold_steps: 5000`),
or as a share of the run (`hold: 50%`), which stretches with it when it is made longer. The same length is the same
rates, however it is written.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from ganforge import Progress, Share, traits

Per = Literal["epoch", "step"]
Epochs = Annotated[float, Field(ge=0)]
PositiveEpochs = Annotated[float, Field(gt=0)]
Steps = Annotated[int, Field(ge=0)]
PositiveSteps = Annotated[int, Field(ge=1)]


def _done(progress: Progress, per: Per, by_steps: bool = False) -> float:
    """Epochs done, `by_steps` only those of steps that were taken: the same, but where a step's samples changed."""
    done = progress.epoch + 1 if per == "epoch" else progress.epochs
    return done - progress.ahead / progress.steps_per_epoch if by_steps else done


OVER = ("over", "epochs", "steps")


def _once(**written: Share | float | None) -> None:
    """Refuse an option that is written in several ways.

    Raises:
        ValueError: it is.
    """
    given = [name for name, value in written.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} say one thing in several ways; give one of them")


def _positive(name: str, share: Share | None) -> None:
    if share is not None and share.percent == 0:
        raise ValueError(f"{name} should be more than 0%; leave the schedule out if nothing should change")


def _length(progress: Progress, share: Share | None, epochs: float | None, steps: float | None) -> float:
    """How long something lasts, in epochs, however it was written."""
    if share is not None:
        return share.of(progress.total_epochs)
    return steps / progress.steps_per_epoch if steps is not None else epochs or 0.0


def _place(progress: Progress, share: Share | None, epochs: float | None, steps: float | None) -> float:
    """A place of the run in epochs, however it was written; steps count what was taken."""
    return _length(progress, share, epochs, steps if steps is None else steps + progress.ahead)


def constant(progress: Progress, factor: float = 1.0) -> float:
    """The same factor all the time.

    Args:
        progress: how far the run is.
        factor: the factor, or the number itself.
    """
    return factor


@traits(one_of=(("hold", "hold_epochs", "hold_steps"), ("decay", "decay_epochs", "decay_steps")))
def linear_decay(
    progress: Progress,
    hold_epochs: Epochs | None = None,
    decay_epochs: PositiveEpochs | None = None,
    per: Per = "epoch",
    hold: Share | None = None,
    decay: Share | None = None,
    hold_steps: Steps | None = None,
    decay_steps: PositiveSteps | None = None,
) -> float:
    """1 for `hold`, then a straight line to 0 over `decay` (Zhu et al. 2017, section 4): `hold: 50%, decay: 50%`, or
    each in epochs or steps.

    Per epoch it gives the public reference's rates exactly: `1 - max(0, epoch + 1 - hold) / (decay + 1)` with epochs
    from 1, so 2 + 2 epochs run at 1, 2/3, 1/3 and 0. With `hold_epochs` one larger, the rate is whole for the epochs
    that the paper says, and never 0.

    Args:
        progress: how far the run is.
        hold_epochs: epochs at the full rate.
        decay_epochs: epochs from there to 0.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
        hold: the share of the run at the full rate.
        decay: the share of the run from there to 0.
        hold_steps: steps at the full rate.
        decay_steps: steps from there to 0.
    """
    _positive("decay", decay)
    if hold is not None and decay is not None and hold.percent + decay.percent > 100:
        raise ValueError(
            f"decay and hold are {hold.percent + decay.percent:g}% together, more than the run has; "
            f"after hold: {hold}, decay: {Share(100 - hold.percent)} is left"
        )
    held = _place(progress, hold, hold_epochs, hold_steps)
    length = _length(progress, decay, decay_epochs, decay_steps)
    if per == "epoch":
        return 1.0 - min(max(0.0, progress.epoch + 2 - held) / (length + 1), 1.0)
    return 1.0 - min(max(0.0, progress.epochs - held) / length, 1.0)


@traits(one_of=(("every", "every_epochs", "every_steps"),))
def step_decay(
    progress: Progress,
    every_epochs: PositiveEpochs | None = None,
    factor: Annotated[float, Field(gt=0)] = 0.1,
    per: Per = "epoch",
    every: Share | None = None,
    every_steps: PositiveSteps | None = None,
) -> float:
    """Multiplied by `factor` every so many epochs or steps, or after each such share of the run.

    Args:
        progress: how far the run is.
        every_epochs: epochs from one drop to the next.
        factor: what the rate is multiplied by.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
        every: the share of the run from one drop to the next.
        every_steps: steps from one drop to the next.
    """
    _positive("every", every)
    done = _done(progress, per, by_steps=every_steps is not None)
    return factor ** (done // _length(progress, every, every_epochs, every_steps))


def exponential(progress: Progress, factor: Annotated[float, Field(gt=0)], per: Per = "epoch") -> float:
    """Multiplied by `factor` each epoch.

    Args:
        progress: how far the run is.
        factor: what the rate is multiplied by.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
    """
    return factor ** _done(progress, per)


def cosine(
    progress: Progress,
    epochs: PositiveEpochs | None = None,
    floor: Annotated[float, Field(ge=0)] = 0.0,
    per: Per | None = None,
    over: Share | None = None,
    steps: PositiveSteps | None = None,
) -> float:
    """Half a cosine from 1 down to `floor`, then up again (Loshchilov and Hutter 2017, equation 5).

    Over `epochs`, by default moving per epoch as the public reference does; or over `steps`, a share of the run, or
    without any of them the whole run, by default per step.

    Args:
        progress: how far the run is.
        epochs: the time from 1 to `floor`.
        floor: the lowest factor.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
        over: the time from 1 to `floor` as a share of the run.
        steps: the time from 1 to `floor` in steps.
    """
    t = _part_done(progress, per, over, epochs, steps)
    return floor + (1 - floor) * (1 + math.cos(math.pi * t)) / 2


def polynomial(
    progress: Progress,
    power: Annotated[float, Field(gt=0)] = 1.0,
    epochs: PositiveEpochs | None = None,
    per: Per | None = None,
    over: Share | None = None,
    steps: PositiveSteps | None = None,
) -> float:
    """`(1 - t) ** power`, where t runs from 0 to 1 over `epochs`, by default per epoch; or over `steps`, a share of the
    run, or without any of them the whole run, by default per step.

    Args:
        progress: how far the run is.
        power: 1 is a straight line; more falls faster at first.
        epochs: the time from 1 to 0.
        per: `epoch` holds the factor for an epoch, `step` moves it at every step.
        over: the time from 1 to 0 as a share of the run.
        steps: the time from 1 to 0 in steps.
    """
    return (1.0 - min(_part_done(progress, per, over, epochs, steps), 1.0)) ** power


def _part_done(
    progress: Progress, per: Per | None, over: Share | None, epochs: float | None, steps: int | None
) -> float:
    _once(over=over, epochs=epochs, steps=steps)
    if epochs is None and steps is None:
        over = over or Share(100)
    _positive("over", over)
    done = _done(progress, per or ("step" if epochs is None else "epoch"), by_steps=steps is not None)
    return done / _length(progress, over, epochs, steps)


@traits(one_of=(OVER,))
def warmup(
    progress: Progress,
    steps: PositiveSteps | None = None,
    start: Annotated[float, Field(ge=0, le=1)] = 0.0,
    over: Share | None = None,
    epochs: PositiveEpochs | None = None,
) -> float:
    """A straight line from `start` to 1 over the first steps; list it beside another schedule to multiply the two.

    Args:
        progress: how far the run is.
        steps: how long the rise takes.
        start: the factor to begin with.
        over: how long the rise takes, as a share of the run.
        epochs: how long the rise takes, in epochs.
    """
    return start + (1.0 - start) * _moved(progress, (over, epochs, steps), done=1)


Written = tuple[Share | None, float | None, float | None]
"""A share, epochs, or steps."""


def _moved(progress: Progress, over: Written, begin: Written = (None, None, None), done: int = 0) -> float:
    """How much of a change is done, from 0 to 1, and of the step under way so much."""
    _once(**dict(zip(("begin", "begin_epoch", "begin_step"), begin, strict=True)))
    if over[0] is not None and begin[0] is not None and over[0].percent + begin[0].percent > 100:
        together = over[0].percent + begin[0].percent
        raise ValueError(f"over and begin are {together:g}% together, more than the run has; lower one of them")
    # Epochs and shares are of the way through the data, steps of what was taken.
    here = progress.step + (0 if over[2] is not None and not any(begin[:2]) else progress.ahead)
    there = _steps(progress, begin) + (progress.ahead if begin[2] is not None and here != progress.step else 0)
    length = _steps(progress, over)
    return min(max(0, here - there + done) / length, 1.0) if length else 1.0


def _steps(progress: Progress, written: Written) -> float:
    """A length in steps as they are now."""
    share, epochs, steps = written
    if share is not None:
        return share.of(progress.total_steps + progress.ahead)
    return epochs * progress.steps_per_epoch if epochs is not None else steps or 0


@traits(one_of=(OVER,))
def glide(
    progress: Progress,
    start: float,
    end: float,
    steps: PositiveSteps | None = None,
    begin_step: Steps | None = None,
    over: Share | None = None,
    epochs: PositiveEpochs | None = None,
    begin: Share | None = None,
    begin_epoch: Epochs | None = None,
) -> float:
    """Half a cosine from `start` to `end` over `steps`, from `begin_step` on: a ramp that starts and ends gently.

    Args:
        progress: how far the run is.
        start: the number up to the beginning.
        end: the number from when the change is over.
        steps: how long the change takes.
        begin_step: when it begins; at once, unless it is said.
        over: how long the change takes, as a share of the run.
        epochs: how long the change takes, in epochs.
        begin: when it begins, as a share of the run.
        begin_epoch: when it begins, in epochs.
    """
    t = _moved(progress, (over, epochs, steps), (begin, begin_epoch, begin_step))
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2


def half_life(
    progress: Progress,
    steps: Annotated[float, Field(ge=0)],
    start_steps: Annotated[float, Field(ge=0)] | None = None,
    over_steps: PositiveSteps | None = None,
    ramp_up: Annotated[float, Field(gt=0)] | None = None,
    over: Share | None = None,
    over_epochs: PositiveEpochs | None = None,
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
        over: how long it takes from `start_steps` to `steps`, as a share of the run.
        over_epochs: how long that takes, in epochs.
    """
    _once(over=over, over_epochs=over_epochs, over_steps=over_steps)
    if over is None and over_epochs is None:
        over_steps = over_steps or 1
    life = steps
    if start_steps is not None:
        life = glide(progress, start_steps, steps, over_steps, over=over, epochs=over_epochs)
    if ramp_up is not None:
        life = min(life, progress.step * ramp_up)
    return 0.5 ** (1 / life) if life > 0 else 0.0


@traits(one_of=(OVER,))
def ramp(
    progress: Progress,
    end: float,
    steps: PositiveSteps | None = None,
    start: float = 0.0,
    begin_step: Steps | None = None,
    over: Share | None = None,
    epochs: PositiveEpochs | None = None,
    begin: Share | None = None,
    begin_epoch: Epochs | None = None,
) -> float:
    """A straight line from `start` to `end` over `steps`, from `begin_step` on: for weights and scalars.

    Args:
        progress: how far the run is.
        end: the number from when the change is over.
        steps: how long the change takes.
        start: the number up to the beginning.
        begin_step: when it begins; at once, unless it is said.
        over: how long the change takes, as a share of the run.
        epochs: how long the change takes, in epochs.
        begin: when it begins, as a share of the run.
        begin_epoch: when it begins, in epochs.
    """
    t = _moved(progress, (over, epochs, steps), (begin, begin_epoch, begin_step))
    return start + (end - start) * t
