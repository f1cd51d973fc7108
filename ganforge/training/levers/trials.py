"""Which ways of computing a step are faster on this machine: whole steps on copies, side by side, before the first one.

Trials take a hundredth of the run's time at most; where that is too little to learn anything, nothing is tried.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ganforge.core.randomness import random_state, restore_random_state
from ganforge.failures.exhaustion import free_memory
from ganforge.ranks.division import Division
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.dry_run import DryRun
from ganforge.step.network_calls import missing_compiler
from ganforge.training.levers.contender import Contender, Way, ratio, side_by_side

SHARE = 0.01
"""The share of the run's time that trials may take."""
GAIN = 1.03
"""How many times as fast a way must be to be taken."""
STAYS = 1.05
"""Times as fast bfloat16 must be in whole steps to stay, where the layers alone were clearly faster in it."""
ROUNDS, LEAST, ROUND_S = 7, 2, 0.1
"""Rounds in which two ways take steps in turn, below which nothing is known, and what a round lasts at least."""
PATIENCE_S = 60.0
"""Seconds that taking turns may last where steps are long: who waits for the first one sees nothing of it."""
COMPILING_S = 90.0
"""Seconds that generating code for a recipe's networks may take, before anything is known of it."""
AT_MOST = 1.6
"""Times as fast compiled code may be: more than it was anywhere."""
CALL_S, FLOPS = 1e-5, 1e11
"""Seconds of a call, and operations a second, of no machine in particular: they decide whether to try at all."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Tried:
    """One change of the way that was the fastest until then."""

    change: Mapping[str, Any]
    """The change of the way, as `Way.other` takes it."""
    times: float
    """How many times as fast it made the step: the median of all rounds, or what the fastest of both say, if less; 0
    where it failed."""
    low: float
    high: float
    taken: bool
    seconds: float
    """What the trial took."""

    def __str__(self) -> str:
        if not self.times:
            return f"{in_words(self.change)}: these networks cannot be computed so"
        verdict = "taken" if self.taken else "left"
        return f"{in_words(self.change)}: {self.times:.2f} times as fast ({self.low:.2f} to {self.high:.2f}), {verdict}"

    @property
    def compiles(self) -> bool:
        return bool(self.change.get("compile"))


def in_words(change: Mapping[str, Any]) -> str:
    """What a change does."""
    words = {"merge": "merged forwards", "fused": "fused optimizers", "compile": "compiled"}
    named = [change["precision"]] if "precision" in change else []
    named += [words[name] for name, pulled in change.items() if name in words and pulled]
    kept = ", channels where they are" if change.get("compile") and not change.get("layouts", True) else ""
    return " and ".join(named) + kept


def guessed_seconds(plan: DryRun, steps: int, batches: int) -> float:
    """What a run on a CPU might take, before anything was measured: good to a factor of some."""
    return steps * batches * (sum(plan.flops.values()) / FLOPS + plan.operations * CALL_S)


@dataclass
class Trying:
    """Trials of a recipe on this machine."""

    recipe: Recipe
    """The recipe; its levers say which ways are open."""
    plan: DryRun
    device: torch.device
    division: Division
    """How many batches make a step."""
    steps: int
    """The steps of the whole run."""
    start: Way
    """The way that is taken if nothing is faster."""
    open_precision: bool
    """Whether the recipe leaves the precision to the machine."""
    known: Sequence[Tried] = ()
    """What was tried before."""
    tell: Tell = lambda _: None
    """A function that is told what takes a while."""
    tried: list[Tried] = field(default_factory=list)

    def best(self) -> Way:
        """The fastest way, as far as there is time to try."""
        way = self._by_what_is_known()
        seconds = guessed_seconds(self.plan, self.steps, self.division.accumulate)
        open_changes = [change for change in self._changes() if not any(tried.change == change for tried in self.known)]
        if not open_changes or SHARE * seconds < 2 * LEAST * seconds / self.steps or not self._has_room():
            return way
        state = random_state()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the run itself warns of what it does
                return self._by_trying(way, open_changes)
        finally:
            restore_random_state(state)
            gc.collect()

    def _has_room(self) -> bool:
        """Whether two more copies of all networks, with gradients and what Adam keeps, are little in this memory."""
        free = free_memory() or 2**32  # of a system that does not say
        return 2 * 4 * 4 * sum(self.plan.parameters.values()) < free / 4

    def _by_what_is_known(self) -> Way:
        seconds = guessed_seconds(self.plan, self.steps, self.division.accumulate)
        way = self.start
        for tried in self.known:
            # Code that was generated before is found again, but that takes a while, too.
            if tried.taken and (not tried.compiles or SHARE * seconds >= COMPILING_S / 3):
                way = way.other(**tried.change)
        return way

    def _changes(self) -> Iterator[dict[str, Any]]:
        """What may be done otherwise, the cheapest to try first."""
        settings = self.recipe.run
        levers = self.start.levers
        free = [name for name in ("merge", "fused") if getattr(settings, name) == "auto" and not levers[name]]
        if together := [name for name in free if name == "fused" or self.plan.mergeable]:
            yield dict.fromkeys(together, True)
        lowered = self.open_precision and self.start.precision == "bf16"
        if lowered:
            yield {"precision": "fp32"}
        compilable = settings.compile == "auto" and not levers["compile"] and not missing_compiler(self.device.type)
        if compilable and (lowered or self.start.precision in ("fp32", "fp64")):
            precision = {"precision": "fp32"} if lowered else {}
            for layouts in (False, True):
                yield {**precision, "compile": True, "layouts": layouts}

    def _by_trying(self, way: Way, changes: Sequence[Mapping[str, Any]]) -> Way:
        began = time.perf_counter()
        try:
            best = self._contender(way)
            step_s = best.seconds()
        except Exception:  # of a step that cannot be taken, the run tells, with its place
            return way

        def left() -> float:
            return SHARE * self.steps * step_s - (time.perf_counter() - began)

        for change in changes:
            costs_s = COMPILING_S if change.get("compile") else 0.0
            if self._is_hopeless(change, best.way):
                continue
            if left() >= costs_s + (1 + 2 * LEAST) * step_s:
                best = self._faster(best, change, step_s, left)
        return best.way

    def _is_hopeless(self, change: Mapping[str, Any], best: Way) -> bool:
        """Whether compiled float32 would have to gain more over float32 than it does anywhere."""
        if best.precision != "bf16" or not change.get("compile"):
            return False
        eager = [tried.times for tried in (*self.known, *self.tried) if tried.change == {"precision": "fp32"}]
        return bool(eager) and eager[-1] * AT_MOST < 1

    def _contender(self, way: Way) -> Contender:
        contender = Contender(self.recipe, self.plan, self.device, self.division, way)
        contender.seconds()  # kernels are chosen
        return contender

    def _faster(
        self, best: Contender, change: Mapping[str, Any], step_s: float, left: Callable[[], float]
    ) -> Contender:
        began = time.perf_counter()
        if change.get("compile"):
            self.tell(f"trying on this machine, as the run is long: {in_words(change)}")
        try:
            other = self._contender(best.way.other(**change))
            if change.get("compile"):
                other.seconds(2)  # what differs from step to step has code of its own
            steps = max(1, int(min(ROUND_S, left() / (2 * LEAST)) / step_s))
            rounds = max(LEAST + 1, min(ROUNDS, int(PATIENCE_S / (2 * steps * step_s))))
            before, after = side_by_side((best, other), rounds, steps, left())
        except Exception:  # what cannot be computed in this way, is computed in the other
            self.tried.append(Tried(change, 0.0, 0.0, 0.0, False, time.perf_counter() - began))
            return best
        found = ratio(before, after)
        raises = best.way.precision == "bf16" and "precision" in change
        taken = found.median >= (1 / STAYS if raises else GAIN)
        self.tried.append(Tried(change, found.median, found.low, found.high, taken, time.perf_counter() - began))
        return other if taken else best
