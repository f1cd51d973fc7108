"""One step of training: a batch through all the phases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.engine.cast import Cast, bind_schedule
from ganforge.engine.device import Precision
from ganforge.engine.players import Player
from ganforge.engine.scene import Program, Scene, map_tensors
from ganforge.engine.statistics import Statistics, Stopwatch
from ganforge.errors import TrainingFailed
from ganforge.parts import Progress
from ganforge.recipe.expressions import Call, Expression, Name
from ganforge.recipe.model import Bound, LossUse, PartUse, PhaseUse, Recipe

Batch = Mapping[str, Tensor]


class Trainer:
    """The players and the phases of a recipe, at work."""

    def __init__(self, recipe: Recipe, cast: Cast, precision: Precision, progress: Progress) -> None:
        self.recipe, self.cast, self.precision, self.progress = recipe, cast, precision, progress
        self.program = Program(recipe, cast, precision.forward())
        self.players = {use.name: Player(use, cast, precision) for use in recipe.players.values()}
        self.statistics = Statistics(precision.device)
        self.stopwatch = Stopwatch(precision.device)
        self.bad_losses = BadLosses(recipe, precision.device)
        self.weights = {
            (phase.name, loss.name): _weight(loss.weight) for phase in recipe.phases for loss in phase.losses
        }

    def step(self, batches: Sequence[Batch], log: bool = False) -> None:
        """Take the next step on these micro-batches, whose gradients are averaged.

        Args:
            batches: as many as `run.accumulate` says; fields `[N, ...]` on the device.
            log: also gather what costs time: gradient norms.

        Raises:
            TrainingFailed: a loss is not a finite scalar with a graph. On a GPU a loss that is not finite is
                noticed when `bad_losses.check` is called.
        """
        step = self.progress.step
        plan = [phase for phase in self.recipe.phases if step % phase.every == 0 and _due(phase, step)]
        scenes = [Scene(self.program, batch, plan, self.progress) for batch in batches]
        learnt: dict[str, None] = {}
        for position, phase in enumerate(plan):
            with self.stopwatch.measure(f"seconds/{phase.name}"):
                if self._phase(position, phase, scenes, log):
                    learnt[phase.train] = None
        for name in learnt:
            self.players[name].follow()
        if log:
            self._note_ops()
        self.program.gradients.restore()
        self.progress = Progress(step + 1, self.progress.steps_per_epoch, self.progress.total_steps)

    def _phase(self, position: int, phase: PhaseUse, scenes: Sequence[Scene], log: bool) -> bool:
        """Take a phase's optimizer step; whether it was taken."""
        player = self.players[phase.train]
        losses = _due(phase, self.progress.step)
        leaves = {text for loss in losses for text in _leaves(loss)}
        player.follow_schedules(self.progress)
        fine = True
        for scene in scenes:
            scene.begin(position, leaves)
            values = {loss.name: self._loss(phase, loss, scene) for loss in losses}
            fine = self.bad_losses.note(phase, values, self.progress.step) and fine
            if fine:
                self._note_losses(values)
                self._learn(phase, losses, values, 1 / len(scenes))
        if fine:
            norm = player.gradient_norm() if log else None
            if norm is not None:
                self.statistics.add(f"gradients/{phase.name}", norm)
            player.step(norm)
        else:
            self.bad_losses.skipped += 1
        player.clear()
        for scene in scenes:
            scene.end()
        return fine

    def _learn(self, phase: PhaseUse, losses: Sequence[LossUse], values: Mapping[str, Tensor], share: float) -> None:
        """Add this share of the losses' gradients."""
        # A loss that runs every n-th time stands for n times (lazy regularisation, Karras et al. 2020, appendix B).
        first, *others = (
            self.weights[phase.name, loss.name](self.progress) * loss.every * values[loss.name] for loss in losses
        )
        total = sum(others, first)
        with _noting(f"the gradients of player '{phase.train}' cannot be computed"):
            self.players[phase.train].backward(total * share, inputs_only=any(map(_leaves, losses)))

    def _loss(self, phase: PhaseUse, loss: LossUse, scene: Scene) -> Tensor:
        with _noting(f"the loss '{loss.name}' of player '{phase.train}' cannot be computed"):
            inputs = {name: self._input(scene, bound) for name, bound in loss.inputs.items()}
            value = self.cast.losses[phase.name, loss.name](**inputs)
        _check_loss(value, phase, loss, self.progress.step)
        value = value.reshape(())
        for name in loss.use.part.trait("scores"):
            self._note_scores(loss, name, inputs.get(name))
        return value

    def _input(self, scene: Scene, bound: Bound) -> Any:
        if isinstance(bound, tuple):
            return [self._input(scene, written) for written in bound]
        value = scene.value(bound.expression)
        return value if isinstance(value, nn.Module) else map_tensors(self.precision.widen, value)

    def _note_losses(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.statistics.add(f"losses/{name}", value)

    def _note_scores(self, loss: LossUse, name: str, value: Any) -> None:
        bound = loss.inputs.get(name)
        if bound is None or isinstance(bound, tuple):
            return
        values = [value] if isinstance(value, Tensor) else value
        if isinstance(values, list | tuple) and values:  # a judge may look at several sizes
            mean = torch.stack([each.detach().mean() for each in values]).mean()
            self.statistics.add(f"scores/{_judge(self.recipe, bound.expression) or loss.name}/{name}", mean)

    def _note_ops(self) -> None:
        """What ops tell of themselves."""
        for name, op in self.cast.ops.items():
            if hasattr(op, "statistics"):
                for key, value in op.statistics().items():
                    self.statistics.add(f"ops/{name}/{key}", value)

    def _loss_modules(self) -> dict[tuple[str, str], nn.Module]:
        """Losses that may have a state: buffers of their own."""
        return {place: loss for place, loss in self.cast.losses.items() if isinstance(loss, nn.Module)}

    def state_dict(self) -> dict[str, Any]:
        """All that a step depends on, but the networks, their average, and the random generators."""
        return {
            "step": self.progress.step,
            "players": {name: player.state_dict() for name, player in self.players.items()},
            "ops": {name: op.state_dict() for name, op in self.cast.stateful_ops.items()},
            "losses": {"/".join(place): loss.state_dict() for place, loss in self._loss_modules().items()},
            "op_rngs": {name: rng.getstate() for name, rng in self.cast.rngs.items()},
            "statistics": self.statistics.state_dict(),
            "skipped": self.bad_losses.skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.progress = Progress(state["step"], self.progress.steps_per_epoch, self.progress.total_steps)
        for name, player in self.players.items():
            player.load_state_dict(state["players"][name])
        for name, op in self.cast.stateful_ops.items():
            on_device = map_tensors(lambda t: t.to(self.precision.device), state["ops"][name])
            op.load_state_dict(on_device)
        for place, loss in self._loss_modules().items():
            loss.load_state_dict(state["losses"]["/".join(place)])
        for name, rng in self.cast.rngs.items():
            rng.setstate(state["op_rngs"][name])
        self.statistics.load_state_dict(state["statistics"])
        self.bad_losses.skipped = state["skipped"]


class BadLosses:
    """Watches for losses that are NaN or infinite; on a GPU without waiting for it."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.skip = recipe.run.on_bad_loss == "skip"
        # Looking at a value makes the host wait for a GPU; on a CPU it is there already. Skipping must look.
        self.eager = self.skip or device.type == "cpu"
        self.device = device
        self.first: dict[tuple[str, ...], Tensor] = {}
        """For each set of losses that ran together, under its player: the first step at which each was not finite."""
        self.skipped = 0
        """Phases that were left out."""

    def note(self, phase: PhaseUse, values: Mapping[str, Tensor], step: int) -> bool:
        """Whether the phase may go on.

        Raises:
            TrainingFailed: a loss is not finite, and the policy is to stop.
        """
        finite = torch.isfinite(torch.stack([value.detach() for value in values.values()]))
        if self.eager:
            if bool(finite.all()):
                return True
            if not self.skip:
                bad = [name for name, good in zip(values, finite.tolist(), strict=True) if not good]
                raise _not_finite(phase.train, bad[0], f"{float(values[bad[0]].detach())}", step)
            return False
        now = torch.where(finite, -1, step)
        key = (phase.train, *values)
        before = self.first.get(key)
        self.first[key] = now if before is None else torch.where(before < 0, now, before)
        return True

    def check(self) -> None:
        """Look at what was noted; call it where the device is synchronised anyway, and before anything is saved.

        Raises:
            TrainingFailed: a loss was not finite at some step since the last check.
        """
        bad = [
            (step, player, name)
            for (player, *names), first in self.first.items()
            for name, step in zip(names, first.tolist(), strict=True)
            if step >= 0
        ]
        if bad:
            step, player, name = min(bad, key=lambda place: place[0])
            raise _not_finite(player, name, "NaN or infinite", step)


def _not_finite(player: str, loss: str, what: str, step: int) -> TrainingFailed:
    return TrainingFailed(
        f"step {step}: the loss '{loss}' of player '{player}' is {what}\n"
        "  look at its inputs in the panels and at gradients/* in TensorBoard; a lower learning rate, clip_norm on\n"
        "  the player, or run.precision=fp32 are the usual cures. The last checkpoint is from before it;\n"
        "  run.on_bad_loss=skip leaves such phases out instead of stopping"
    )


def _check_loss(value: Any, phase: PhaseUse, loss: LossUse, step: int) -> None:
    """A loss must return a scalar with a graph."""
    where = f"step {step}: the loss '{loss.name}' ({loss.use.part.full_name}) of player '{phase.train}'"
    if not isinstance(value, Tensor) or value.numel() != 1:
        what = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise TrainingFailed(f"{where} returned {what}\n  a loss returns one number: end it with .mean() or .sum()")
    if not value.requires_grad:
        raise TrainingFailed(
            f"{where} returned a value without a graph: nothing could learn from it\n"
            "  look for .detach(), .item() or torch.no_grad() in the loss, and whether its inputs depend on\n"
            f"  the networks of '{phase.train}'"
        )


def _due(phase: PhaseUse, step: int) -> list[LossUse]:
    """The losses whose turn it is; their `every` counts the times that the phase runs."""
    return [loss for loss in phase.losses if step // phase.every % loss.every == 0]


@contextmanager
def _noting(what: str) -> Iterator[None]:
    """An error that passes is told what failed."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise


def _leaves(loss: LossUse) -> list[str]:
    """The texts of what a loss differentiates with respect to."""
    bounds = [loss.inputs[name] for name in loss.use.part.trait("wrt") if name in loss.inputs]
    return [written.text for bound in bounds for written in (bound if isinstance(bound, tuple) else (bound,))]


def _judge(recipe: Recipe, expression: Expression) -> str | None:
    """The network whose verdict an expression is: `D_b` of `D_b(x).logits`, through signals and ops."""
    if isinstance(expression, Call) and expression.name in recipe.networks:
        return expression.name
    if isinstance(expression, Name) and expression.name in recipe.signals:
        return _judge(recipe, recipe.signals[expression.name].expression)
    return next((judge for child in expression.children if (judge := _judge(recipe, child))), None)


def _weight(weight: float | PartUse) -> Any:
    return bind_schedule(weight) if isinstance(weight, PartUse) else lambda _progress: weight
