"""One step of training: a batch through all the phases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.blame import blame
from ganforge.engine.averaging import Averaging
from ganforge.engine.bad_losses import BadLosses
from ganforge.engine.cast import Cast
from ganforge.engine.device import Precision
from ganforge.engine.division import Division
from ganforge.engine.lanes import Lanes
from ganforge.engine.levers import NONE, Levers
from ganforge.engine.levers.calls import Calls
from ganforge.engine.levers.recording import Record, Recorder
from ganforge.engine.nested import map_tensors
from ganforge.engine.players import Player
from ganforge.engine.scene import Plan, Program, Scene, Turn
from ganforge.engine.sharding import Sharding
from ganforge.engine.statistics import Statistics, Stopwatch
from ganforge.engine.verdicts import Verdicts
from ganforge.engine.world import ALONE, World
from ganforge.errors import TrainingFailed
from ganforge.parts import Progress
from ganforge.recipe.building import bind_schedule
from ganforge.recipe.model import Bound, LossUse, PartUse, PhaseUse, Recipe, written

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Verdict:
    """What a pass tells of itself, on the device."""

    tags: tuple[str, ...]
    """What the figures are: `losses/cycle_a`, `scores/D_b/real`."""
    figures: Tensor
    losses: Tensor
    """Those of the figures that are losses."""


class Passes:
    """The forward and backward passes of one step, phase by phase: the micro-batches of this rank, lane by lane."""

    def __init__(self, trainer: Trainer, plan: Plan, batches: Sequence[Batch]) -> None:
        self.trainer, self.plan = trainer, plan
        self.scenes = [Scene(trainer.program, batch, plan, trainer.progress) for batch in batches]

    def __call__(self, position: int) -> Sequence[Verdict]:
        """The passes of a phase over all micro-batches; gradients are added up in the parameters."""
        for scene in self.scenes:
            scene.begin(position)
        rehearsal = self.trainer.recorder.rehearsal(self.plan) if self.trainer.recorder else nullcontext()
        with rehearsal:
            return list(self._learnt(position))

    def _learnt(self, position: int) -> Iterator[Verdict]:
        lanes = self.trainer.lanes
        each = len(self.scenes) // len(lanes.held)
        for number, scene in enumerate(self.scenes):
            if number + 1 == len(self.scenes):
                self.trainer.arm(self.plan[position])
            with lanes.at_work(number // each):
                yield self.trainer.learn(scene, self.trainer.portion(len(self.scenes)))

    def end(self, position: int) -> None:
        """The phase's player has stepped."""
        for scene in self.scenes:
            scene.end()


class Trainer:
    """The players and the phases of a recipe, at work."""

    def __init__(
        self,
        recipe: Recipe,
        cast: Cast,
        precision: Precision,
        progress: Progress,
        levers: Levers = NONE,
        division: Division | None = None,
        world: World = ALONE,
    ) -> None:
        self.recipe, self.cast, self.precision, self.progress = recipe, cast, precision, progress
        self.levers, self.world = levers, world
        self.division = division or Division(recipe.loader.batch_size, recipe.run.accumulate)
        self.lanes = Lanes(recipe, cast, precision, self.division, world)
        self.sharding = Sharding(levers.sharded, recipe, cast, precision.device, world)
        self.program = Program(recipe, cast, Calls(cast, precision.forward(), levers))
        self.players = {
            name: Player(use, cast, precision, name in levers.fused, self.sharding)
            for name, use in recipe.players.items()
        }
        self.averaging = {
            name: Averaging(name, player.parameters, world, levers.overlap) for name, player in self.players.items()
        }
        self.statistics = Statistics(precision.device)
        self.stopwatch = Stopwatch(precision.device)
        self.recorder: Recorder | None = None
        """Replays passes instead of launching them anew; `record` starts it."""
        self.bad_losses = BadLosses(recipe, precision.device, world)
        self.verdicts = Verdicts(recipe)
        self.examining = False
        """Whether this step tells more of itself than others."""
        self.distributions: dict[str, Tensor] = {}
        """All verdicts of the last step that was examined, by tag."""
        self._plans: dict[tuple[tuple[str, ...], ...], Plan] = {}
        self.weights: dict[tuple[str, str], float | Tensor | Callable[[Progress], float]] = {
            (phase.name, loss.name): _weight(loss.weight) for phase in recipe.phases for loss in phase.losses
        }

    def averages(self) -> dict[str, nn.Module]:
        """The moving averages of networks, by name."""
        averages = {name: average.module for player in self.players.values() for name, average in player.ema.items()}
        return averages | self.sharding.averages

    def whole(self) -> AbstractContextManager[None]:
        """Let the first rank, for a while, call networks alone that are kept in parts; all ranks call this together."""
        return self.sharding.whole(self.averages())

    def record(self, record: Record[Any]) -> None:
        """From now on, record passes and replay them: `record` says how."""
        self.recorder = Recorder(self, record)

    def step(self, batches: Sequence[Batch], log: bool = False, examine: bool = False) -> None:
        """Take the next step on these micro-batches, whose gradients are averaged.

        Args:
            batches: as many as `run.accumulate` says, for each lane of this rank; fields `[N, ...]` on the device.
            log: also gather what costs time: gradient norms.
            examine: also gather what costs about as much as a step: each loss's share of its player's gradient, and
                all verdicts. The step itself is the same.

        Raises:
            TrainingFailed: a loss is not a finite scalar with a graph, or a gradient is not finite. On a GPU what is
                not finite is noticed when `bad_losses.check` is called.
        """
        step = self.progress.step
        plan = self._plan(step)
        self.examining, self.distributions = examine, {}
        self.lanes.begin()
        replayed = self.recorder.passes(plan, batches, replay=not examine) if self.recorder else None
        passes = replayed or Passes(self, plan, batches)
        learnt: dict[str, None] = {}
        for position, turn in enumerate(plan):
            sound = self.lanes.buffers() if self.bad_losses.skip else None
            with self.stopwatch.measure(f"seconds/{turn.phase.name}"), self.world.noticing(among_others=True):
                if self._phase(turn, passes(position), log):
                    learnt[turn.phase.train] = None
                elif sound is not None:
                    self.lanes.mend(sound)
                passes.end(position)
        self.lanes.end()
        for name in learnt:
            self.players[name].follow()
        if log:
            self._note_ops()
        self.program.gradients.restore()
        self.progress = self.progress.at(step + 1)

    def _plan(self, step: int) -> Plan:
        """The phases of a step whose turn it is; the same object for every step with the same ones."""
        turns = (Turn.at(phase, step) for phase in self.recipe.phases if step % phase.every == 0)
        plan = tuple(turn for turn in turns if turn.losses)
        return self._plans.setdefault(tuple((t.phase.name, *(loss.name for loss in t.losses)) for t in plan), plan)

    def _phase(self, turn: Turn, verdicts: Sequence[Verdict], log: bool) -> bool:
        """Take a phase's optimizer step, whose gradients are there; whether it was taken."""
        player, step = self.players[turn.phase.train], self.progress.step
        self.sharding.hold(False)
        player.follow_schedules(self.progress)
        names = [loss.name for loss in turn.losses]
        judged = [self.bad_losses.note(player.name, names, verdict.losses, step) for verdict in verdicts]
        bad = judged.count(False)
        if self.world.size > 1:
            with self.stopwatch.measure("seconds/averaging"):
                total = self.averaging[player.name].exchange(turn, bad)
            bad = int(total) if self.bad_losses.eager else 0
        learns = bool(turn.learnt) and not bad
        norm = player.gradient_norm() if learns and (log or player.clip_norm is not None) else None
        if bad or (learns and not self._gradients_are_good(player, norm)):
            self.bad_losses.leave_out(player.name, step)
            player.clear()
            return False
        for verdict in verdicts:
            self.statistics.add_all(verdict.tags, verdict.figures)
        if log and norm is not None:
            self.statistics.add(f"gradients/{turn.phase.name}", norm)
        if learns:
            player.step(norm)
        player.clear()
        if not player.scaler:  # which leaves out steps by itself, and is asked when statistics are read
            self.bad_losses.took(player.name, step)
        return learns

    def _gradients_are_good(self, player: Player, norm: Tensor | None) -> bool:
        """Whether a player may take its step on its gradients, as far as this is looked at now."""
        if player.scaler:  # it looks itself: fp16 overflows now and then
            return True
        watch = self.bad_losses
        if watch.eager and norm is not None and bool(torch.isfinite(norm)):
            return True
        good = watch.note_gradients(player.name, player.labels, player.gradient_sizes(), self.progress.step)
        return not self.world.largest(not good) if watch.eager and player.in_parts else good

    def check_scales(self) -> None:
        """Count the steps that the scalers of fp16 have left out; it waits for the device.

        Raises:
            TrainingFailed: a player takes no step any more.
        """
        for player in self.players.values():
            if player.scaler and player.attempts:
                if player.left_all_out():
                    self.bad_losses.count_left_out(player.name, player.attempts, self.progress.step)
                else:
                    self.bad_losses.took(player.name, self.progress.step)
                player.count_anew()

    def arm(self, turn: Turn) -> None:
        """The last backward pass of a phase begins; of one that is examined, in parts, more follow."""
        if not (self.examining and self.players[turn.phase.train].in_parts):
            self.averaging[turn.phase.train].arm(turn)

    def portion(self, passes: int) -> float:
        """What part a pass is of the mean over all samples of a step, of which this rank makes so many passes."""
        return len(self.lanes.held) / (passes * self.division.lanes)

    def learn(self, scene: Scene, share: float) -> Verdict:
        """The forward and backward pass of a scene's phase: add this share of the losses' gradients."""
        turn = scene.turn
        self.sharding.hold(_differentiates_twice(turn, self.cast))
        scores: list[tuple[str, Tensor]] = []
        values = [self._loss(turn.phase, loss, scene, scores) for loss in turn.losses]
        # A loss that runs every n-th time stands for n times (lazy regularisation, Karras et al. 2020, appendix B).
        weighted = [
            self._weight(turn.phase, loss) * loss.every * value
            for loss, value in zip(turn.learnt, values, strict=False)  # those that only watch come last
        ]
        if self.examining and len(weighted) > 1:
            self._note_shares(turn, weighted)
        if weighted:
            total = sum(weighted[1:], weighted[0])
            with blame(f"the gradients of player '{turn.phase.train}' cannot be computed"):
                self.players[turn.phase.train].backward(total * share, inputs_only=bool(turn.leaves))
        figures = torch.stack([value.detach() for value in (*values, *(score for _, score in scores))])
        tags = [*(f"losses/{loss.name}" for loss in turn.losses), *(tag for tag, _ in scores)]
        return Verdict(tuple(tags), figures, figures[: len(values)])

    def _weight(self, phase: PhaseUse, loss: LossUse) -> float | Tensor:
        weight = self.weights[phase.name, loss.name]
        return weight if isinstance(weight, float | int | Tensor) else weight(self.progress)

    def _loss(self, phase: PhaseUse, loss: LossUse, scene: Scene, scores: list[tuple[str, Tensor]]) -> Tensor:
        with blame(f"the loss '{loss.name}' of player '{phase.train}' cannot be computed", loss.use):
            with scene.computing(loss):
                inputs = {name: self._input(scene, bound) for name, bound in loss.inputs.items()}
            value = self.cast.losses[phase.name, loss.name](**inputs)
        _check_loss(value, phase, loss, self.progress.step)
        scores += [(tag, figure.to(value.dtype)) for tag, figure in self.verdicts.figures(loss, inputs)]
        if self.examining:
            self.distributions |= self.verdicts.logits(loss, inputs)
        return value.reshape(())

    def _note_shares(self, turn: Turn, weighted: Sequence[Tensor]) -> None:
        """How much each loss contributes to the gradient: its own gradient's norm among the sum of all."""
        player = self.players[turn.phase.train]
        norms = torch.stack([player.norm_of(value) for value in weighted])
        shares = norms / norms.sum().clamp_min(torch.finfo(norms.dtype).tiny)
        self.statistics.add_all(tuple(f"shares/{turn.phase.name}/{loss.name}" for loss in turn.learnt), shares)

    def _input(self, scene: Scene, bound: Bound) -> Any:
        if isinstance(bound, tuple):
            return [self._input(scene, written) for written in bound]
        value = scene.value(bound.expression)
        return value if isinstance(value, nn.Module) else map_tensors(self.precision.widen, value)

    def _note_ops(self) -> None:
        """What ops tell of themselves."""
        for name, op in self.cast.ops.items():
            with blame(f"the op '{name}' cannot give its statistics", self.cast.uses.get(name)):
                if hasattr(op, "statistics"):
                    for key, value in op.statistics().items():
                        self.statistics.add(f"ops/{name}/{key}", value)

    def _loss_modules(self) -> dict[tuple[str, str], nn.Module]:
        """Losses that may have a state: buffers of their own."""
        return {place: loss for place, loss in self.cast.losses.items() if isinstance(loss, nn.Module)}

    def state_dict(self) -> dict[str, Any]:
        """All that a step depends on, but the networks, their average, and what belongs to lanes."""
        return {
            "step": self.progress.step,
            "steps_per_epoch": self.progress.steps_per_epoch,
            "ahead": self.progress.ahead,
            "players": {name: player.state_dict() for name, player in self.players.items()},
            "losses": {"/".join(place): loss.state_dict() for place, loss in self._loss_modules().items()},
            "statistics": self.statistics.state_dict(),
            "skipped": self.bad_losses.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.progress = _going_on(self.progress, state)
        for name, player in self.players.items():
            player.load_state_dict(state["players"][name])
        for place, loss in self._loss_modules().items():
            loss.load_state_dict(state["losses"]["/".join(place)])
        self.statistics.load_state_dict(state["statistics"])
        self.bad_losses.load_state_dict(state["skipped"])


def _going_on(now: Progress, state: Mapping[str, Any]) -> Progress:
    """The progress at a saved step. Where a step has other samples than before, the way through the data goes on from
    where it was: at the first step of now that shows nothing of the epoch twice."""
    step, before, ahead = state["step"], state.get("steps_per_epoch", now.steps_per_epoch), state.get("ahead", 0)
    if before != now.steps_per_epoch:
        ahead = -(-(step + ahead) * now.steps_per_epoch // before) - step
    return replace(now, step=step, ahead=ahead)


def _check_loss(value: Any, phase: PhaseUse, loss: LossUse, step: int) -> None:
    """A loss must return a scalar with a graph."""
    where = f"step {step}: the loss '{loss.name}' ({loss.use.part.full_name}) of player '{phase.train}'"
    if not isinstance(value, Tensor) or value.numel() != 1:
        what = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise TrainingFailed(f"{where} returned {what}\n  a loss returns one number: end it with .mean() or .sum()")
    if value.layout != torch.strided:
        raise TrainingFailed(f"{where} returned a tensor that is {value.layout}\n  end it with .to_dense()")
    if not value.requires_grad:
        raise TrainingFailed(
            f"{where} returned a value without a graph: nothing could learn from it\n"
            "  look for .detach(), .item() or torch.no_grad() in the loss, and whether its inputs depend on\n"
            f"  the networks of '{phase.train}'"
        )


def _differentiates_twice(turn: Turn, cast: Cast) -> bool:
    """Whether losses differentiate with respect to something, or are given a network and may."""
    given = {item.expression.text for loss in turn.losses for item in written(loss.inputs)}
    return bool(turn.leaves) or any(name in cast.networks for name in given)


def _weight(weight: float | PartUse) -> float | Tensor | Callable[[Progress], float]:
    return bind_schedule(weight) if isinstance(weight, PartUse) else weight
