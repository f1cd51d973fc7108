"""What `ganforge check` says of a step is what a step does."""

from __future__ import annotations

import copy
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import rehearsed
import torch
from rehearsed import dry_run
from tiny import RECIPES
from torch import Tensor, nn

from ganforge.api.context import Progress
from ganforge.commands.check import report
from ganforge.core.nested import tensors
from ganforge.recipe.expressions import Call, Name
from ganforge.recipe.model import Recipe
from ganforge.recipe.name_checks import dependencies
from ganforge.step.cast import Cast
from ganforge.step.program import Program, Turn
from ganforge.step.scene import Scene
from ganforge.testing import Parity

pytestmark = pytest.mark.usefixtures("rehearsed_once")

TOYS = Path(__file__).parent / "toys.py"
PENALTY = "phases.1.losses.gp={type: toys.steepness, verdict: D_b(real_b), images: real_b}"


class Observed:
    """One step, watched from outside: how often each network runs, and which values phases see."""

    def __init__(self, recipe: Recipe) -> None:
        self.parity = parity = Parity(recipe)
        self.forwards: dict[str, Counter[str]] = {}
        self.before: set[tuple[str, str]] = set()
        """Signals that a phase sees as the networks were when the step began, and not as they are."""
        learn, self.cast = parity.trainer.learner.learn, parity.trainer.cast
        self.networks = copy.deepcopy(self.cast.networks)
        (self.batch,) = parity.batches(1)
        quiet = dry_run(recipe).quiet

        def learn_and_look(scene: Scene, share: float) -> Any:
            calls = parity.trainer.program.calls.forwards
            earlier = Counter(calls)
            verdict = learn(scene, share)
            self.forwards[scene.turn.phase.name] = Counter(calls) - earlier
            for name in used(recipe, scene.turn):
                if all_quiet(recipe, name, quiet):
                    seen = scene.value(Name(name, 0, len(name), name))
                    old, new = self.now(name, self.networks), self.now(name, self.cast.networks)
                    if not same(old, new) and same(seen, old):
                        self.before.add((scene.turn.phase.name, name))
            return verdict

        parity.trainer.learner.learn = learn_and_look  # type: ignore[method-assign]
        parity.train([self.batch])

    def now(self, signal: str, networks: nn.ModuleDict) -> Any:
        """A signal as these networks make it."""
        cast = Cast(networks, self.cast.ops, {}, self.cast.schedules, {}, self.cast.contexts)
        with torch.no_grad():
            scene = Scene(Program(self.parity.recipe, cast), self.batch, (), Progress(0, 1, 1))
            return scene.value(Name(signal, 0, len(signal), signal))


def used(recipe: Recipe, turn: Turn) -> set[str]:
    names = [dependencies(recipe, w.expression) for loss in turn.losses for w in loss.expressions()]
    return set().union(*names) & set(recipe.signals)


def all_quiet(recipe: Recipe, signal: str, quiet: frozenset[str]) -> bool:
    """Whether it can be computed again with the same result."""
    names = {signal} | dependencies(recipe, recipe.signals[signal].expression) & set(recipe.signals)
    calls = [c for n in names for c in recipe.signals[n].expression.walk() if isinstance(c, Call)]
    return all(call.function in quiet and call.name not in recipe.ops for call in calls)


def same(one: Any, other: Any) -> bool:
    pairs: list[tuple[Tensor, Tensor]] = list(zip(tensors(one), tensors(other), strict=True))
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", [*RECIPES, "penalised"])
def test_check_says_what_a_step_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    more, name = ((PENALTY,), "cyclegan_shapes") if name == "penalised" else ((), name)
    recipe = rehearsed.opened(name, (*more, "run.merge=false"), TOYS)
    observed = Observed(recipe)
    report(recipe)
    told = capsys.readouterr().out
    forwards = {
        phase: Counter({network: int(count) for network, count in re.findall(r"([\w.]+) (\d+)", listed)})
        for phase, listed in re.findall(r"phase (\w+): \d+ losses, forwards per step: (.*)", told)
    }
    accumulated = recipe.run.accumulate
    assert {
        phase: {n: c * accumulated for n, c in each.items()} for phase, each in forwards.items()
    } == observed.forwards
    before = set(re.findall(r"note: phase (\w+) sees '(\w+)' as it was before", told))
    assert observed.before <= before
    unseen = {signal for _, signal in before - observed.before}
    assert not [signal for signal in unseen if all_quiet(recipe, signal, dry_run(recipe).quiet)]


def test_a_penalty_changes_no_note(capsys: pytest.CaptureFixture[str]) -> None:
    notes = []
    for more in ((), (PENALTY,)):
        report(rehearsed.opened("cyclegan_shapes", more, TOYS))
        notes.append([line for line in capsys.readouterr().out.splitlines() if "note" in line or "forwards" in line])
    assert notes[0][:1] == notes[1][:1]
    assert notes[0][2:] == notes[1][2:]
    assert notes[1][1] == notes[0][1].replace("2 losses", "3 losses")
