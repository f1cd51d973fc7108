"""One step on fake tensors: shapes are checked before anything is downloaded, and cost no memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from ganforge.engine.cast import Cast, build_cast
from ganforge.engine.scene import Program, Scene, map_tensors
from ganforge.engine.state import random_state, restore_random_state
from ganforge.errors import Problem, RecipeError
from ganforge.parts import Progress
from ganforge.recipe.expressions import Expression, Name
from ganforge.recipe.model import Bound, LossUse, Recipe, Written


@dataclass
class DryRun:
    """What one step would do."""

    shapes: dict[str, Any]
    """Of every signal: a list of sizes, or a nested value of such lists."""
    forwards: dict[str, Counter[str]]
    """How often each network is called, by phase."""
    flops: dict[str, int]
    """Floating-point operations of forward and backward, by phase."""
    parameters: dict[str, int]
    """How many numbers each network learns."""
    lazy: bool
    """Whether a network creates parameters in its first forward."""


def dry_run(recipe: Recipe) -> DryRun:
    """Run every phase once on fake tensors.

    Raises:
        RecipeError: with every expression and loss whose shapes do not fit, at its line.
    """
    before = random_state()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return _Rehearsal(recipe).run()
    finally:
        restore_random_state(before)


class _Failed(Exception):
    """An expression could not be computed; its problem has been noted."""


class _Rehearsal:
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.problems: list[Problem] = []
        self.cast: Cast = build_cast(recipe)
        self.program = Program(recipe, self.cast)
        self.failed: set[str] = set()

    def run(self) -> DryRun:
        recipe = self.recipe
        shapes = dict(recipe.dataset.shapes())
        batch = self._batch(shapes)
        before = _parameter_names(self.cast.networks)
        scene = Scene(self.program, batch, recipe.phases, Progress(0, 1, 1))
        forwards, flops = {}, {}
        for position, phase in enumerate(recipe.phases):
            self.program.forwards.clear()
            with FlopCounterMode(display=False) as counter:
                self._phase(scene, position)
            forwards[phase.name] = Counter(self.program.forwards)
            flops[phase.name] = counter.get_total_flops()
        signals = {name: self._shape(scene, name) for name in recipe.signals}
        self._validation()
        if self.problems:
            raise RecipeError(self.problems)
        return DryRun(
            shapes={**{name: list(value.shape) for name, value in batch.items()}, **signals},
            forwards=forwards,
            flops=flops,
            parameters={name: sum(p.numel() for p in net.parameters()) for name, net in self.cast.networks.items()},
            lazy=_parameter_names(self.cast.networks) != before,
        )

    def _batch(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        return {name: torch.zeros(self.recipe.loader.batch_size, *shape) for name, shape in shapes.items()}

    def _phase(self, scene: Scene, position: int) -> None:
        phase = self.recipe.phases[position]
        leaves = {
            written.text
            for loss in phase.losses
            for name in loss.use.part.trait("wrt")
            for written in _each(loss.inputs.get(name, ()))
        }
        scene.begin(position, leaves)
        total: Any = 0
        for loss in phase.losses:
            try:
                total = total + self._loss(scene, phase.name, loss)
            except _Failed:
                continue
        parameters = [p for name in self.recipe.players[phase.train].networks for p in self.cast.networks[name].parameters()]
        if isinstance(total, Tensor) and total.requires_grad and not self.problems:
            total.backward(inputs=[p for p in parameters if p.requires_grad])
        scene.end()

    def _loss(self, scene: Scene, phase: str, loss: LossUse) -> Tensor:
        inputs = {name: self._bound(scene, bound) for name, bound in loss.inputs.items()}
        try:
            value = self.cast.losses[phase, loss.name](**inputs)
        except Exception as error:
            described = ", ".join(f"{name} {_describe(value)}" for name, value in inputs.items())
            self.problems.append(
                Problem(f"the loss '{loss.name}' cannot be computed: {_first_line(error)}", loss.use.mark, f"its inputs: {described}")
            )
            raise _Failed from error
        if isinstance(value, Tensor) and value.numel() != 1:
            message = f"the loss '{loss.name}' returns a tensor of shape {list(value.shape)}, not one number"
            self.problems.append(Problem(message, loss.use.mark, "end it with .mean() or .sum()"))
            raise _Failed
        return value.reshape(())

    def _bound(self, scene: Scene, bound: Bound) -> Any:
        if isinstance(bound, tuple):
            return [self._bound(scene, item) for item in bound]
        self._signals_first(scene, bound.expression)
        return self._value(scene, bound)

    def _signals_first(self, scene: Scene, expression: Expression) -> None:
        """Compute the signals that an expression needs one by one, so that a fault is told where it arises."""
        for name in self.recipe.signals:
            if name in expression.names() and name not in self.failed:
                signal = self.recipe.signals[name]
                try:
                    self._signals_first(scene, signal.expression)
                    self._value(scene, signal, Name(name, 0, len(name), name))
                except _Failed:
                    self.failed.add(name)
        if expression.names() & self.failed:
            raise _Failed

    def _value(self, scene: Scene, written: Written, wanted: Expression | None = None) -> Any:
        try:
            return scene.value(wanted or written.expression)
        except Exception as error:
            self._explain(scene, written, error)
            raise _Failed from error

    def _explain(self, scene: Scene, written: Written, error: Exception) -> None:
        """Put the caret under the innermost call that fails."""
        place = written.expression
        for piece in reversed(list(written.expression.walk())):
            try:
                scene.value(piece)
            except Exception as inner:
                place, error = piece, inner
                break
        arguments = ", ".join(f"{child.text} {_describe(_quiet(scene, child))}" for child in place.children)
        message = f"'{place.text}' cannot be computed: {_first_line(error)}"
        self.problems.append(Problem(message, written.place(place), f"it is given {arguments}" if arguments else ""))

    def _shape(self, scene: Scene, name: str) -> Any:
        signal = self.recipe.signals[name]
        try:
            self._signals_first(scene, signal.expression)
            with torch.no_grad():
                value = self._value(scene, signal, Name(name, 0, len(name), name))
        except _Failed:
            return None
        return map_tensors(lambda tensor: list(tensor.shape), value)  # type: ignore[arg-type, return-value]

    def _validation(self) -> None:
        """The panels and metrics, on the fields of a validation sample."""
        batch = self._batch(self.recipe.dataset.validation_shapes())
        scene = Scene(self.program, batch, (), Progress(0, 1, 1))
        written = [*self.recipe.images, *(w for metric in self.recipe.metrics for b in metric.inputs.values() for w in _each(b))]
        with torch.no_grad():
            for item in written:
                try:
                    self._signals_first(scene, item.expression)
                    self._value(scene, item)
                except _Failed:
                    continue


def _each(bound: Bound) -> Iterator[Written]:
    yield from bound if isinstance(bound, tuple) else (bound,)


def _parameter_names(networks: nn.ModuleDict) -> list[str]:
    return [
        name for name, p in networks.named_parameters() if not isinstance(p, nn.parameter.UninitializedParameter)
    ]


def _quiet(scene: Scene, expression: Expression) -> Any:
    try:
        return scene.value(expression)
    except Exception:
        return None


def _describe(value: Any) -> str:
    """A value's shape, for an error."""
    if isinstance(value, Tensor):
        return str(list(value.shape))
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_describe, value))})"
    return "" if isinstance(value, nn.Module) or value is None else repr(value)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
