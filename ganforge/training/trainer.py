"""One step of training: a batch through all the phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.api.context import Progress
from ganforge.core.sections import expect
from ganforge.failures.blame import blame
from ganforge.ranks import ALONE, World
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.recipe.model import Recipe
from ganforge.step.batch import Batch
from ganforge.step.cast import Cast
from ganforge.step.levers import NONE, Levers
from ganforge.step.program import Turn, Turns
from ganforge.training.bad_losses import BadLosses
from ganforge.training.gradient_sync import Averaging
from ganforge.training.lanes import Lanes
from ganforge.training.learner import Learner, PassFigures
from ganforge.training.passes import Passes
from ganforge.training.player import Player
from ganforge.training.recording import Record, RecordedPasses, Recorder
from ganforge.training.statistics import Stopwatch

SECTIONS = ("step", "players", "losses", "statistics", "skipped")
"""What of a checkpoint is the trainer's: it is where the players are, and what they have learnt beside weights."""


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
        self.recipe, self.precision, self.progress = recipe, precision, progress
        self.levers, self.world = levers, world
        self.division = division or Division(recipe.loader.batch_size, recipe.run.accumulate)
        self.lanes = Lanes(recipe, cast, precision, self.division, world)
        self.cast = self.lanes.held[0].cast
        self.learner = learner = Learner(recipe, self.cast, precision, levers, world)
        self.program, self.players, self.sharding = learner.program, learner.players, learner.sharding
        self.statistics = learner.statistics
        self.averaging = {
            name: Averaging(name, player.parameters, world, levers.overlap) for name, player in self.players.items()
        }
        self.stopwatch = Stopwatch(precision.device)
        self.recorder: Recorder | None = None
        """Replays passes instead of launching them anew; `record` starts it."""
        self.bad_losses = BadLosses(recipe, precision.device, world)
        self._turns_of: dict[tuple[tuple[str, ...], ...], Turns] = {}

    def averages(self) -> dict[str, nn.Module]:
        """The moving averages of networks, by name."""
        averages = {name: average.module for player in self.players.values() for name, average in player.ema.items()}
        return averages | self.sharding.averages

    def whole(self) -> AbstractContextManager[None]:
        """Let the first rank, for a while, call networks alone that are kept in parts; all ranks call this together."""
        return self.sharding.whole(self.averages())

    def record(self, record: Record[Any]) -> None:
        """From now on, record passes and replay them: `record` says how."""
        self.recorder = Recorder(self.learner, self.lanes, record)

    def step(self, batches: Sequence[Batch], log: bool = False, examine: bool = False) -> None:
        """Take the next step on these micro-batches, whose gradients are averaged.

        Args:
            batches: as many as `run.accumulate` says, for each lane of this rank; fields `[N, ...]` on the device.
            log: also gather what costs time: gradient norms.
            examine: also gather what costs about as much as a step: each loss's share of its player's gradient, and
                all figures. The step itself is the same.

        Raises:
            TrainingFailed: a loss is not a finite scalar with a graph, or a gradient is not finite. On a GPU what is
                not finite is noticed when `bad_losses.check` is called.
        """
        step = self.progress.step
        turns = self._turns(step)
        self.learner.examining, self.learner.distributions = examine, {}
        self.lanes.begin()
        passes = self._passes(turns, batches, replay=not examine)
        learnt: dict[str, None] = {}
        for position, turn in enumerate(turns):
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

    def _passes(self, turns: Turns, batches: Sequence[Batch], replay: bool) -> Passes | RecordedPasses:
        if not self.recorder:
            return Passes(self.learner, self.lanes, turns, batches, self.progress, self._arm)
        recorded = self.recorder.passes(turns, batches, self.progress, replay)
        around = self.recorder.rehearsal
        return recorded or Passes(self.learner, self.lanes, turns, batches, self.progress, self._arm, around)

    def _turns(self, step: int) -> Turns:
        """The phases of a step whose turn it is; the same object for every step with the same ones."""
        due = (Turn.at(phase, step) for phase in self.recipe.phases if step % phase.every == 0)
        turns = tuple(turn for turn in due if turn.losses)
        return self._turns_of.setdefault(tuple((t.phase.name, *(loss.name for loss in t.losses)) for t in turns), turns)

    def _phase(self, turn: Turn, figures: Sequence[PassFigures], log: bool) -> bool:
        """Take a phase's optimizer step, whose gradients are there; whether it was taken."""
        player, step = self.players[turn.phase.train], self.progress.step
        self.sharding.hold(False)
        player.follow_schedules(self.progress)
        names = [loss.name for loss in turn.losses]
        judged = [self.bad_losses.note(player.name, names, each.losses, step) for each in figures]
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
        for each in figures:
            self.statistics.add_all(each.tags, each.figures)
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
        return not self.world.largest(not good) if watch.eager and player.is_sharded else good

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

    def _arm(self, turn: Turn) -> None:
        """The last backward pass of a phase begins; of one that is examined, in parts, more follow."""
        if not (self.learner.examining and self.players[turn.phase.train].is_sharded):
            self.averaging[turn.phase.train].arm(turn)

    def _note_ops(self) -> None:
        """Note the figures that ops tell of themselves."""
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
        expect(state, "trainer", SECTIONS, known=("steps_per_epoch", "ahead"))
        losses = {"/".join(place): loss for place, loss in self._loss_modules().items()}
        expect(state["players"], "trainer.players", self.players)
        expect(state["losses"], "trainer.losses", losses)
        self.progress = _going_on(self.progress, state)
        for name, player in self.players.items():
            player.load_state_dict(state["players"][name])
        for name, loss in losses.items():
            loss.load_state_dict(state["losses"][name])
        self.statistics.load_state_dict(state["statistics"])
        self.bad_losses.load_state_dict(state["skipped"])


def _going_on(now: Progress, state: Mapping[str, Any]) -> Progress:
    """The progress at a saved step. Where a step has other samples than before, the way through the data goes on from
    where it was: at the first step of now that shows nothing of the epoch twice."""
    step, before, ahead = state["step"], state.get("steps_per_epoch", now.steps_per_epoch), state.get("ahead", 0)
    if before != now.steps_per_epoch:
        ahead = -(-(step + ahead) * now.steps_per_epoch // before) - step
    return replace(now, step=step, ahead=ahead)
