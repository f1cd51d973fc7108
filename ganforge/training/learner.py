"""What learns: the passes that add gradients to the parameters of players. No step is taken here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.api.context import Progress
from ganforge.core.nested import map_tensors
from ganforge.errors import TrainingFailed
from ganforge.failures.blame import blame
from ganforge.ranks.device import Precision
from ganforge.ranks.world import World
from ganforge.recipe.building import bind_schedule
from ganforge.recipe.model import Bound, LossUse, PartUse, PhaseUse, Recipe, written
from ganforge.step.cast import Cast
from ganforge.step.judge_scores import Verdicts
from ganforge.step.levers import Levers
from ganforge.step.network_calls import Calls
from ganforge.step.program import Program, Turn
from ganforge.step.scene import Scene
from ganforge.step.sharding import Sharding
from ganforge.training.player import Player
from ganforge.training.statistics import Statistics


@dataclass(frozen=True)
class PassFigures:
    """What a pass tells of itself, on the device."""

    tags: tuple[str, ...]
    """What the figures are: `losses/cycle_a`, `scores/D_b/real`."""
    figures: Tensor
    losses: Tensor
    """The figures of losses alone."""


class Learner:
    """The players of a recipe, and what they learn from."""

    def __init__(self, recipe: Recipe, cast: Cast, precision: Precision, levers: Levers, world: World) -> None:
        self.cast, self.precision = cast, precision
        self.sharding = Sharding(levers.sharded, recipe, cast, precision.device, world)
        self.program = Program(recipe, cast, Calls(precision.forward(), levers))
        self.players = {
            name: Player(use, cast, precision, name in levers.fused, self.sharding)
            for name, use in recipe.players.items()
        }
        self.statistics = Statistics(precision.device)
        self.scores = Verdicts(recipe)
        self.weights: dict[tuple[str, str], float | Tensor | Callable[[Progress], float]] = {
            (phase.name, loss.name): _weight(loss.weight) for phase in recipe.phases for loss in phase.losses
        }
        self.examining = False
        """Whether this step tells more of itself than others."""
        self.distributions: dict[str, Tensor] = {}
        """All verdicts of the last step that was examined, by tag."""

    def learn(self, scene: Scene, share: float) -> PassFigures:
        """The forward and backward pass of a scene's phase: add this share of the losses' gradients."""
        turn = scene.turn
        self.sharding.hold(_differentiates_twice(turn, self.cast))
        scores: list[tuple[str, Tensor]] = []
        values = [self._loss(turn.phase, loss, scene, scores) for loss in turn.losses]
        # A loss that runs every n-th time stands for n times (lazy regularisation, Karras et al. 2020, appendix B).
        weighted = [
            self._weight(scene, loss) * loss.every * value
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
        return PassFigures(tuple(tags), figures, figures[: len(values)])

    def _weight(self, scene: Scene, loss: LossUse) -> float | Tensor:
        weight = self.weights[scene.turn.phase.name, loss.name]
        return weight if isinstance(weight, float | int | Tensor) else weight(scene.progress)

    def _loss(self, phase: PhaseUse, loss: LossUse, scene: Scene, scores: list[tuple[str, Tensor]]) -> Tensor:
        with blame(f"the loss '{loss.name}' of player '{phase.train}' cannot be computed", loss.use):
            with scene.computing(loss):
                inputs = {name: self._input(scene, bound) for name, bound in loss.inputs.items()}
            value = self.cast.losses[phase.name, loss.name](**inputs)
        _check_loss(value, phase, loss, scene.progress.step)
        scores += [(tag, figure.to(value.dtype)) for tag, figure in self.scores.figures(loss, inputs)]
        if self.examining:
            self.distributions |= self.scores.logits(loss, inputs)
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


def _check_loss(value: Any, phase: PhaseUse, loss: LossUse, step: int) -> None:
    """A loss must return a scalar with a graph."""
    where = f"step {step}: the loss '{loss.name}' ({loss.use.part.full_name}) of player '{phase.train}'"
    if not isinstance(value, Tensor) or value.numel() != 1:
        what = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise TrainingFailed(f"{where} returned {what}", "a loss returns one number: end it with .mean() or .sum()")
    if value.layout != torch.strided:
        raise TrainingFailed(f"{where} returned a tensor that is {value.layout}", "end it with .to_dense()")
    if not value.requires_grad:
        raise TrainingFailed(
            f"{where} returned a value without a graph: nothing could learn from it",
            "look for .detach(), .item() or torch.no_grad() in the loss, and whether its inputs depend on\n"
            f"the networks of '{phase.train}'",
        )


def _differentiates_twice(turn: Turn, cast: Cast) -> bool:
    """Whether losses differentiate with respect to something, or are given a network and may."""
    given = {item.expression.text for loss in turn.losses for item in written(loss.inputs)}
    return bool(turn.leaves) or any(name in cast.networks for name in given)


def _weight(weight: float | PartUse) -> float | Tensor | Callable[[Progress], float]:
    return bind_schedule(weight) if isinstance(weight, PartUse) else weight
