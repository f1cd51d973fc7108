"""What discriminators say of real and of generated samples, read off the inputs of losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganforge.recipe.expressions import Call, Expression, Name
from ganforge.recipe.model import LossUse, Recipe, written
from ganforge.recipe.name_checks import dependencies


@dataclass(frozen=True)
class _Watched:
    """An input of a loss that holds verdicts."""

    input: str
    name: str
    """`D_b/real`, `D_b/fake`, or `D_b/pooled` of fakes that an op replays."""
    boundary: float | None
    """The verdict that is neither real nor fake."""


class Verdicts:
    """The verdicts among the inputs of a recipe's losses: those that a loss declares with `traits(scores=...)`."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.watched = {loss.name: list(self._watched(loss)) for phase in recipe.phases for loss in phase.losses}

    def figures(self, loss: LossUse, inputs: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
        """Each mean verdict, `scores/D_b/real`, and with a boundary the share that is right, `accuracy/D_b/real`."""
        for watched in self.watched[loss.name]:
            values = _tensors(inputs.get(watched.input))
            if values:
                yield f"scores/{watched.name}", _mean([value.mean() for value in values])
                if watched.boundary is not None:
                    real = watched.input == "real"
                    right = [value > watched.boundary if real else value < watched.boundary for value in values]
                    yield f"accuracy/{watched.name}", _mean([each.to(values[0].dtype).mean() for each in right])

    def logits(self, loss: LossUse, inputs: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
        """All verdicts as a vector, `logits/D_b/real`."""
        for watched in self.watched[loss.name]:
            if values := _tensors(inputs.get(watched.input)):
                yield f"logits/{watched.name}", torch.cat([value.flatten() for value in values])

    def _watched(self, loss: LossUse) -> Iterator[_Watched]:
        part = loss.use.part
        for name in part.trait("scores"):
            if bound := loss.inputs.get(name):
                first = next(written({name: bound})).expression
                judge = None if isinstance(bound, tuple) else _judge(self.recipe, first)
                kind = "pooled" if self._replays(first) else name
                yield _Watched(name, f"{judge or loss.name}/{kind}", getattr(part.factory, "boundary", None))

    def _replays(self, expression: Expression) -> bool:
        """Whether an op on the path may give earlier samples instead of new ones."""
        ops = dependencies(self.recipe, expression) & self.recipe.ops.keys()
        return any(getattr(self.recipe.ops[name].part.factory, "replays", False) for name in ops)


def _judge(recipe: Recipe, expression: Expression) -> str | None:
    """The network whose verdict an expression is: `D_b` of `D_b(x).logits`, through signals and ops."""
    if isinstance(expression, Call) and expression.name in recipe.networks:
        return expression.name
    if isinstance(expression, Name) and expression.name in recipe.signals:
        return _judge(recipe, recipe.signals[expression.name].expression)
    return next((judge for child in expression.children if (judge := _judge(recipe, child))), None)


def _tensors(value: Any) -> list[Tensor]:
    """All tensors of verdicts: a judge may look at several sizes."""
    values = [value] if isinstance(value, Tensor) else value
    return [each.detach() for each in values] if isinstance(values, list | tuple) else []


def _mean(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).mean()
