"""Where a run would learn nothing: stretches of it in which a learning rate is 0, found before they are trained.

Schedules are pure functions of the progress, so they are asked in advance, at a bounded number of steps.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ganforge.api.context import Progress
from ganforge.errors import Mark, Problem, RecipeError
from ganforge.failures.blame import fault_of
from ganforge.ranks.division import length
from ganforge.recipe.building import bind_schedule
from ganforge.recipe.model import PartUse, PlayerUse, Recipe

ASKED = 1024
"""Steps at which a schedule is asked, evenly spread, and as many beginnings of epochs."""
NOTHING = 1e-9
"""What is smaller than the largest rate of a run by this factor moves no weight."""
ASSUMED = (10, 1_000, 100_000)
"""Steps of an epoch where nobody knows them: what holds for all of these is told."""

Rate = Callable[[Progress], float]


@dataclass(frozen=True)
class Stretch:
    """The steps from `first` to before `end`."""

    first: int
    end: int


def idle(recipe: Recipe, progress: Progress, mend: Callable[[str], str] = lambda overrides: overrides) -> list[Problem]:
    """What of the way from here to the end would teach nothing, as warnings with their place.

    Args:
        progress: where the run stands, and how long it is.
        mend: makes the overrides that mend it a command.

    Raises:
        RecipeError: a schedule fails at some step, or gives what is no rate.
    """
    found: dict[tuple[Any, Stretch], list[_Idle]] = {}
    for player in recipe.players.values():
        factors = list(_factors(recipe, player))
        for stretch in stretches(_rate(factors), progress):
            culprit = next(f for f in factors if f.is_nothing(progress, stretch) or f is factors[-1])
            mended = culprit.mended(factors, progress)
            found.setdefault((culprit.kind, stretch), []).append(_Idle(player.name, culprit, mended))
    problems = [_told(recipe, progress, stretch, players, mend) for (_, stretch), players in found.items()]
    return [*problems, *_weights(recipe, progress, mend), *_averages(recipe, progress)]


def idle_by_guess(recipe: Recipe, samples_of_a_step: int) -> list[Problem]:
    """The same of a whole run before its data are seen: what is so however many steps an epoch has."""
    known = recipe.dataset.known_length()
    guesses = ASSUMED if known is None else (max(1, known // samples_of_a_step),)
    told = [idle(recipe, Progress(0, steps, length(recipe, steps))) for steps in guesses]
    common = {problem.mark for problem in told[0]}.intersection(*({p.mark for p in problems} for problems in told))
    return [problem for problem in told[len(told) // 2] if problem.mark in common]


# Rates


@dataclass(frozen=True)
class _Factor:
    """Something that a learning rate is a product of."""

    path: str
    """The factor's key, as an override names it."""
    rate: Rate
    mark: Mark
    use: PartUse | None = None
    """The schedule, if it is one."""
    otherwise: str = "null"
    """The value to set instead of the schedule."""

    @property
    def kind(self) -> Any:
        """The same for what is written alike: players that have one schedule are told of together."""
        return (self.use.part.full_name, repr(self.use.options)) if self.use else self.mark

    def is_nothing(self, progress: Progress, stretch: Stretch) -> bool:
        return abs(self.rate(progress.at((stretch.first + stretch.end - 1) // 2))) <= NOTHING

    def mended(self, factors: Sequence[_Factor], progress: Progress) -> str:
        """The override with which nothing would be idle."""
        if self.use is not None:
            for option in _lengths(self.use):
                if value := self._longer(self.use, option, factors, progress):
                    return f"{self.path}.{option}={value}"
        return f"{self.path}={self.otherwise}"

    def _longer(self, use: PartUse, option: str, factors: Sequence[_Factor], progress: Progress) -> int | None:
        """The least whole number in place of a length with which nothing is idle any more, if there is one."""

        def suffices(value: int) -> bool:
            changed = replace(use, options=use.options | {option: value})
            others = [f if f is not self else replace(self, rate=bind_schedule(changed), use=changed) for f in factors]
            return not stretches(_rate(others), progress, asked=ASKED // 8)

        low = math.ceil(use.options[option])
        most = max(low, progress.total_steps, math.ceil(progress.total_epochs)) * 2
        try:
            return low + bisect.bisect_left(range(low, most), True, key=suffices) if suffices(most) else None
        except RecipeError:
            return None


@dataclass(frozen=True)
class _Idle:
    """A player that learns nothing for a while, why, and what mends it."""

    player: str
    culprit: _Factor
    mended: str


def _factors(recipe: Recipe, player: PlayerUse) -> Iterator[_Factor]:
    path, options = f"players.{player.name}", player.optimizer.options
    default = next((p.default for p in player.optimizer.part.signature.options if p.name == "lr"), 1.0)
    usual = default if isinstance(default, int | float) and default else 1e-4
    for number, use in enumerate(player.schedules):
        several = isinstance(recipe.node.at(("players", player.name, "schedule")).value, list)
        yield _Factor(f"{path}.schedule.{number}" if several else f"{path}.schedule", bind_schedule(use), use.mark, use)
    moving = player.moving.get(("optimizer", "lr"))
    node = recipe.node.at(("players", player.name, "optimizer", "lr"))
    if moving is not None:
        named = f"schedules.{node.value}" if isinstance(node.value, str) else f"{path}.optimizer.lr"
        yield _Factor(named, bind_schedule(moving), moving.mark, moving, f"{usual:g}")
    else:
        given = options.get("lr", default)
        constant = float(given) if isinstance(given, int | float) else 1.0
        mark = node.mark if "lr" in options else player.optimizer.mark
        yield _Factor(f"{path}.optimizer.lr", lambda _: constant, mark, otherwise=f"{usual:g}")


def _lengths(use: PartUse) -> list[str]:
    """The options that say how long something lasts, in epochs or steps; a decay's before what comes before it."""
    found = [n for n, v in use.options.items() if n.endswith(("epochs", "steps")) and isinstance(v, int | float)]
    return sorted(found, key=lambda name: not name.startswith("decay"))


def _rate(factors: Sequence[_Factor]) -> Rate:
    def rate(progress: Progress) -> float:
        value = 1.0
        for factor in factors:
            name = factor.use.part.name if factor.use else factor.path
            try:
                value *= float(factor.rate(progress))
            except Exception as error:
                fault = fault_of(error)
                what = f"fails at step {progress.step} of {progress.total_steps}: {fault.said}"
                told = replace(fault, mark=None).lines
                raise RecipeError([Problem(f"{name} {what}", factor.mark, "\n".join(told))]) from error
            if not math.isfinite(value):
                message = f"{name} is NaN or infinite at step {progress.step} of {progress.total_steps}"
                raise RecipeError([Problem(message, factor.mark, "a schedule gives a finite number at every step")])
        return value

    return rate


def stretches(rate: Rate, progress: Progress, asked: int = ASKED) -> list[Stretch]:
    """Where from here on a rate is 0 for more than a step.

    The last epoch alone does not count where rates are held for an epoch: papers' own recipes end so, at 0.
    """
    steps = _asked(progress, asked)
    values = {step: abs(rate(progress.at(step))) for step in steps}
    least = NOTHING * max(values.values())

    def is_nothing(step: int) -> bool:
        return abs(rate(progress.at(step))) <= least

    found: list[Stretch] = []
    for number, step in enumerate(steps):
        if values[step] > least or (number and values[steps[number - 1]] <= least):
            continue
        after = next((later for later in steps[number:] if values[later] > least), progress.total_steps)
        last = max(earlier for earlier in steps if earlier < after)
        before = steps[number - 1] if number else -1
        first = before + 1 + bisect.bisect_left(range(before + 1, step), True, key=is_nothing)
        end = last + 1 + bisect.bisect_left(range(last + 1, after), True, key=lambda s: not is_nothing(s))
        found.append(Stretch(first, end))
    lasting = [
        s for s in found if s.end - s.first > 1 and s.end > progress.step and not _is_last_epoch(s, rate, progress)
    ]
    return [Stretch(max(stretch.first, progress.step), stretch.end) for stretch in lasting]


def _asked(progress: Progress, asked: int) -> list[int]:
    """The steps at which a schedule is asked, in their order."""
    total, per_epoch = progress.total_steps, progress.steps_per_epoch
    if total <= 2 * asked:
        return list(range(total))
    epochs = range((-progress.ahead) % per_epoch, total, per_epoch)
    beginnings = epochs[:: max(1, math.ceil(len(epochs) / asked))]
    return sorted({*range(0, total, math.ceil(total / asked)), *beginnings, *epochs[-2:], total - 1})


def _is_last_epoch(stretch: Stretch, rate: Rate, progress: Progress) -> bool:
    end = progress.total_steps
    beginning = (end - 1 + progress.ahead) // progress.steps_per_epoch * progress.steps_per_epoch - progress.ahead
    before = max(0, beginning - progress.steps_per_epoch)
    if stretch != Stretch(beginning, end) or beginning <= 0:
        return False
    return rate(progress.at(before)) == rate(progress.at(beginning - 1))


# In words


def _told(
    recipe: Recipe, progress: Progress, stretch: Stretch, players: Sequence[_Idle], mend: Callable[[str], str]
) -> Problem:
    names = " and ".join(f"'{each.player}'" for each in players)
    overrides = " ".join(dict.fromkeys(each.mended for each in players))
    whose, culprit = f"player{'s' * (len(players) > 1)} {names}", players[0].culprit
    cure = f"nothing is learnt there; this mends it: {mend(overrides)}"
    if culprit.use is not None and (shares := _as_shares(culprit.use)):
        cure += f"\nor let it stretch with the run, as a share of it: {shares}"
    return Problem(f"the learning rate of {whose} is 0 {_where(recipe, progress, stretch)}", culprit.mark, cure)


def _where(recipe: Recipe, progress: Progress, stretch: Stretch) -> str:
    """`from epoch 201 of 400 on`."""
    if (stretch.first, stretch.end) == (0, progress.total_steps):
        return "all the time"
    epoch, epochs = _epoch(progress, stretch.first), math.ceil(progress.total_epochs)
    by_steps = recipe.run.epochs is None or progress.steps_per_epoch not in ASSUMED
    steps = f"step {stretch.first} of {progress.total_steps}"
    first = f"{steps} (epoch {epoch} of {epochs})" if by_steps else f"epoch {epoch} of {epochs}"
    if recipe.run.epochs is None:
        first = steps
    if stretch.end == progress.total_steps:
        return f"from {first} on"
    return f"from {first} to {f'step {stretch.end}' if by_steps else f'epoch {_epoch(progress, stretch.end - 1)}'}"


def _epoch(progress: Progress, step: int) -> int:
    """The epoch as people count: from 1."""
    return progress.at(step).epoch + 1


def _as_shares(use: PartUse) -> str:
    """`hold: 50%, decay: 50%`, in place of lengths that are fixed."""
    given = [(group[0], name) for group in use.part.one_of for name in group if name in use.options]
    values = [use.options[name] for _, name in given]
    fixed = all(isinstance(value, int | float) for value in values) and len({n.split("_")[-1] for _, n in given}) == 1
    if not given or not fixed or not sum(values):
        return ""
    percents = [round(100 * value / sum(values)) for value in values]
    return ", ".join(f"{share}: {percent}%" for (share, _), percent in zip(given, percents, strict=True))


# Other numbers that move


def _weights(recipe: Recipe, progress: Progress, mend: Callable[[str], str]) -> Iterator[Problem]:
    """Losses whose weight is scheduled to be 0 from here to the end: they cost forwards, and count for nothing."""
    for number, phase in enumerate(recipe.phases):
        for loss in phase.losses:
            if isinstance(loss.weight, PartUse):
                factor = _Factor("", bind_schedule(loss.weight), loss.weight.mark, loss.weight)
                if stretches(_rate([factor]), progress) == [Stretch(progress.step, progress.total_steps)]:
                    cure = f"this mends it: {mend(f'phases.{number}.losses.{loss.name}.weight=1')}"
                    until = "to the end" if progress.step else "all the time"
                    yield Problem(f"the weight of the loss '{loss.name}' is 0 {until}", loss.weight.mark, cure)


def _averages(recipe: Recipe, progress: Progress) -> Iterator[Problem]:
    """Moving averages whose decay leaves what a decay may be."""
    for player in recipe.players.values():
        use = player.moving.get(("ema", "decay"))
        rate: Any = use and _rate([_Factor("", bind_schedule(use), use.mark, use)])
        steps = _asked(progress, ASKED) if use else []
        wrong = next((step for step in steps if step >= progress.step and not 0 <= rate(progress.at(step)) < 1), None)
        if use is not None and wrong is not None:
            value = rate(progress.at(wrong))
            message = f"the decay of the average of player '{player.name}' is {value:g} at step {wrong}"
            yield Problem(message, use.mark, "from 0 to less than 1 is a decay: at 1 the average never moves again")
