"""A loss that is added to a recipe changes what is learnt by its own gradient, and by nothing else."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import rehearsed
import replaying
import torch
from rehearsed import dry_run
from safetensors.torch import load_file
from tiny import RECIPES, TINY
from torch import Tensor

from ganforge.recipe.expressions import Call, Constant, Expression, Name
from ganforge.recipe.model import LossUse, Recipe
from ganforge.recipe.name_checks import dependencies
from ganforge.rehearsal.dry_run import DryRun
from ganforge.testing import Parity
from ganforge.training.recording import WARM_UP

pytestmark = pytest.mark.usefixtures("rehearsed_once")

TOYS = Path(__file__).parent / "toys.py"
STEPS = 3
LOST = "1e-300"
"""A weight with which a gradient is lost in the last bit of any other, though it is in the sum."""
ROUNDING = 1e-6  # Adam amplifies that of gradients which a norm cancels


@dataclass
class Trained:
    """What a few steps of a recipe came to."""

    losses: list[dict[str, float]]
    """Of each step, by name."""
    state: dict[str, Tensor]
    forwards: Counter[str]
    called: Counter[str]
    """How often each network really ran."""


def opened(name: str, overrides: Sequence[str] = ()) -> Recipe:
    return rehearsed.opened(name, overrides, TOYS)


def beside(name: str, overrides: Sequence[str]) -> Recipe:
    """A recipe with more losses. What trainings take from a dry run is how the networks are, which stays: a dry run
    of their own is made for a few, and the others take that of the recipe as it was."""
    recipe = opened(name, overrides)
    return recipe if name in FEW else rehearsed.takes_after(recipe, opened(name))


def trained(recipe: Recipe, record: bool = False) -> Trained:
    parity = Parity(recipe)
    if record:
        modules = torch.nn.ModuleList(parity.trainer.cast.modules)
        parity.trainer.record(replaying.recorder(modules))
    losses, forwards = [], Counter[str]()
    for number in range(STEPS + WARM_UP * record):
        parity.train(parity.batches(parity.recipe.run.accumulate, seed=number), seed=number)
        read = parity.trainer.statistics.read()
        losses.append({tag: value for tag, value in read.items() if tag.startswith("losses/")})
        forwards.update(parity.trainer.program.calls.forwards)
    assert not record or parity.trainer.recorder.recordings
    return Trained(losses, parity.trainer.cast.networks.state_dict(), forwards, parity.forwards)


plain = functools.cache(lambda name: trained(opened(name)))


@dataclass
class Added:
    """Losses of weight 0, as overrides, and what they need that was not there."""

    overrides: list[str] = field(default_factory=list)

    def add(self, phase: int, text: str, weight: str = "0") -> None:
        self.overrides.append(f"phases.{phase}.losses.added_{len(self.overrides)}={{{text}, weight: {weight}}}")


def quoted(expression: Expression | str) -> str:
    return '"' + str(expression if isinstance(expression, str) else expression.text) + '"'


class Places:
    """Where a penalty fits into a recipe: every forward of a network, and what it is a function of."""

    def __init__(self, name: str) -> None:
        self.recipe = opened(name)
        self.plan: DryRun = dry_run(self.recipe)
        self.integers = set(self.recipe.dataset.dtypes()) | {"wanted"}
        """Labels, which nothing can be differentiated with respect to."""

    def calls(self) -> Iterator[tuple[int, Call]]:
        """The forwards that stand in the losses of each phase, and in which its player has a part."""
        for number, phase in enumerate(self.recipe.phases):
            own, seen = set(self.recipe.players[phase.train].networks), set[str]()
            expressions = [w.expression for loss in phase.losses for w in loss.expressions()]
            for piece in (piece for expression in expressions for piece in expression.walk()):
                forward = isinstance(piece, Call) and piece.name in self.recipe.networks
                if forward and piece.text not in seen and own & dependencies(self.recipe, piece):
                    seen.add(piece.text)
                    yield number, piece

    def arguments(self, call: Call) -> Iterator[Expression]:
        """What a forward is given: floats of any shape."""
        for argument in call.arguments:
            if not isinstance(argument, Constant) and argument.text not in self.integers:
                yield argument

    def sources(self, call: Call) -> Iterator[str]:
        """Batch fields that lie deeper: the way to them leads through named signals, which may be held."""
        names = dependencies(self.recipe, call) & set(self.recipe.dataset.shapes())
        direct = {argument.text for argument in call.arguments}
        yield from sorted(names - direct - self.integers)

    def silent(self, expression: Expression) -> bool:
        """Whether it can be computed once more without a trace: nothing is drawn, kept or counted."""
        pieces = [expression]
        signals = self.recipe.signals
        pieces += [signals[n].expression for n in dependencies(self.recipe, expression) if n in signals]
        calls = [piece for root in pieces for piece in root.walk() if isinstance(piece, Call)]
        return all(
            call.function in self.plan.quiet
            and (call.name not in self.recipe.networks or call.name in self.plan.repeatable)
            and call.name not in self.recipe.ops
            for call in calls
        )


def same(base: Trained, more: Trained) -> None:
    for before, now in zip(base.losses, more.losses, strict=True):
        assert {tag: now[tag] for tag in before} == before
    assert base.state.keys() == more.state.keys()
    different = [key for key, value in base.state.items() if not torch.equal(value, more.state[key])]
    assert not different


def penalties(places: Places, weight: str = "0") -> list[str]:
    """One at each place: what they penalise is computed for other losses already."""
    added = Added()
    for phase, call in places.calls():
        for argument in places.arguments(call):
            added.add(phase, f"type: toys.steepness, verdict: {quoted(call)}, images: {quoted(argument)}", weight)
    return added.overrides


def deeper(places: Places) -> list[str]:
    """Penalties through whole chains of signals, and losses of signals where nobody else has asked for them yet."""
    added = Added()
    for phase, call in places.calls():
        for source in places.sources(call) if places.silent(call) else ():
            added.add(phase, f"type: toys.steepness, verdict: {quoted(call)}, images: {source}")
    first = dict(reversed(list(places.calls())))
    for phase, call in first.items():
        for signal in places.recipe.signals:
            if places.silent(Name(signal, 0, 0, signal)):
                added.add(phase, f"type: toys.beside, input: [{quoted(call)}, {signal}]")
    return added.overrides


@pytest.mark.parametrize("name", RECIPES)
def test_penalties_of_weight_0_change_no_bit_and_add_no_forward(name: str) -> None:
    base, more = plain(name), trained(beside(name, penalties(Places(name))))
    same(base, more)
    assert more.forwards == base.forwards
    assert more.called == base.called


@pytest.mark.parametrize("name", RECIPES)
def test_losses_of_weight_0_on_whatever_there_is_change_no_bit(name: str) -> None:
    if overrides := deeper(Places(name)):
        same(plain(name), trained(beside(name, overrides)))


def test_a_penalty_of_weight_0_leaves_a_run_as_it_is(ganforge: Callable[..., Any], tmp_path: Path) -> None:
    small = ("data.size_px=32", "data.count=20", "run.steps=3", "run.log_every=1", "run.precision=fp32")
    penalty = "{type: classics.r1, logits: D_b(real_b), images: real_b, weight: 0}"
    for out, more in (("without", ()), ("with", (f"phases.1.losses.gp={penalty}",))):
        ended = ganforge("run", "cyclegan_shapes", *small, *more, "--out", tmp_path / out)
        assert ended.code == 0, ended.err
    checkpoint = "cyclegan_shapes/0001/checkpoints/step_0000003/networks.safetensors"
    without, watched = (load_file(tmp_path / out / checkpoint) for out in ("without", "with"))
    assert without.keys() == watched.keys()
    assert all(torch.equal(without[key], watched[key]) for key in without)


def test_a_player_whose_losses_all_have_weight_0_stays_as_it_is_and_is_told(
    ganforge: Callable[..., Any], tmp_path: Path
) -> None:
    small = ("data.size_px=32", "data.count=20", "run.steps=3", "run.checkpoint_every=1", "run.device=cpu")
    idle = [f"phases.0.losses.{name}.weight=0" for name in places_of_generators()]
    ended = ganforge("run", "cyclegan_shapes", *small, *idle, "--out", tmp_path)
    assert ended.code == 0, ended.err
    assert "all losses of the player 'generators' that depend on 'G_ab' have weight 0" in ended.err
    first, last = (
        load_file(tmp_path / f"cyclegan_shapes/0001/checkpoints/step_000000{step}/networks.safetensors")
        for step in (1, 3)
    )
    moved = {key.partition(".")[0] for key in first if not torch.equal(first[key], last[key])}
    assert moved == {"D_a", "D_b"}


def places_of_generators() -> list[str]:
    return [loss.name for loss in opened("cyclegan_shapes").phases[0].losses]


def test_labels_are_nothing_to_differentiate_with_respect_to(ganforge: Callable[..., Any]) -> None:
    labels = "{type: classics.r1, logits: 'D(real, label)', images: label}"
    ended = ganforge("check", TINY / "projection_spots.yaml", f"phases.0.losses.slope={labels}")
    assert ended.code == 2
    assert (
        "'label' cannot be computed: nothing can be differentiated with respect to int64, only to floats" in ended.err
    )
    assert ended.err.count("cannot be computed") == 1


FEW = ("cyclegan_shapes", "munit_shapes", "r3gan_shapes", "stargan_folders")


@pytest.mark.parametrize("name", FEW)
def test_so_it_is_where_passes_are_recorded(name: str) -> None:
    same(trained(opened(name), record=True), trained(opened(name, penalties(Places(name))), record=True))


@pytest.mark.parametrize("name", FEW)
def test_penalties_that_are_learnt_see_the_same_values_as_other_losses(name: str) -> None:
    base, more = plain(name), trained(opened(name, penalties(Places(name), LOST)))
    alike(base, more)
    assert more.forwards == base.forwards


@pytest.mark.parametrize("name", FEW)
def test_merged_forwards_are_as_many_and_differ_by_rounding(name: str) -> None:
    merge = "run.merge=true"
    base, more = (trained(opened(name, [merge, *added])) for added in ((), penalties(Places(name))))
    assert more.forwards == base.forwards
    alike(base, more)


def alike(base: Trained, more: Trained) -> None:
    """Equal but for the order in which gradients are summed."""
    first, again = base.losses[0], more.losses[0]
    assert {tag: pytest.approx(first[tag], rel=1e-9, abs=1e-12) for tag in first} == {tag: again[tag] for tag in first}
    assert max(float((more.state[key] - value).abs().max()) for key, value in base.state.items()) < ROUNDING


def in_any_order(places: Places) -> bool:
    """Whether forwards may be made in any order: nothing is drawn from generators that others use, nothing counts."""
    recipe, plan = places.recipe, places.plan
    for phase in recipe.phases:
        names = [dependencies(recipe, w.expression) for loss in phase.losses for w in loss.expressions()]
        written = [w.expression for loss in phase.losses for w in loss.expressions()]
        written += [recipe.signals[name].expression for name in set().union(*names) if name in recipe.signals]
        calls = {piece.text: piece for each in written for piece in each.walk() if isinstance(piece, Call)}.values()
        forwards = [call for call in calls if call.name in recipe.networks]
        ops = Counter(call.name for call in calls if call.name in recipe.ops)
        if max(ops.values(), default=0) > 1 or not {call.function for call in calls} <= plan.quiet | set(ops):
            return False
        if not {call.name for call in forwards} <= plan.repeatable:
            return False
    return True


def halves(loss: LossUse) -> list[LossUse]:
    if not isinstance(loss.weight, float | int):
        return [loss]
    return [replace(loss, name=loss.name + half, weight=loss.weight / 2) for half in ("", "_again")]


def rewritten(name: str, order: Callable[[Any], Any], each: Callable[[LossUse], list[LossUse]]) -> Trained:
    recipe = opened(name)
    phases = [
        replace(phase, losses=tuple(part for loss in order(phase.losses) for part in each(loss)))
        for phase in recipe.phases
    ]
    return trained(replace(recipe, phases=tuple(phases)))


@pytest.mark.parametrize("name", ["cyclegan_shapes", "pix2pixhd_facades"])
def test_the_order_of_losses_changes_nothing_but_rounding(name: str) -> None:
    assert in_any_order(Places(name))  # others draw, or count
    base, more = plain(name), rewritten(name, reversed, lambda loss: [loss])
    assert more.forwards == base.forwards
    assert more.losses[0] == base.losses[0]
    alike(base, more)


@pytest.mark.parametrize(
    "name", ["cut_shapes", "cyclegan_shapes", "munit_shapes", "r1_ring", "r3gan_shapes", "stargan_folders"]
)
def test_halves_of_losses_change_nothing_but_rounding(name: str) -> None:
    base, more = plain(name), rewritten(name, list, halves)
    assert more.forwards == base.forwards
    assert {tag: more.losses[0][tag] for tag in base.losses[0]} == base.losses[0]
    alike(base, more)
