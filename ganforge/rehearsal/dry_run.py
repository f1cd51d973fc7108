"""One step on fake tensors: shapes are checked before anything is downloaded, and cost no memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from ganforge.api.context import BEGINNING
from ganforge.core.nested import map_tensors
from ganforge.core.randomness import random_state, restore_random_state
from ganforge.core.torch_internals.fake import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    unset_fake_temporarily,
)
from ganforge.core.torch_internals.log import withheld
from ganforge.core.torch_internals.postponing import postpone_compiler
from ganforge.errors import Problem, RecipeError
from ganforge.failures.blame import blame
from ganforge.ranks.device import Precision
from ganforge.recipe.building import build
from ganforge.recipe.expressions import Attribute, Call, Constant, Expression, Name
from ganforge.recipe.model import Bound, LossUse, Recipe, Written, written
from ganforge.rehearsal.assembly import create_lazy_parameters
from ganforge.rehearsal.augmentation_trial import augmentation_faults
from ganforge.rehearsal.label_ranges import LabelWatch
from ganforge.rehearsal.layers import Layer
from ganforge.rehearsal.optimizer_trial import try_optimizer
from ganforge.rehearsal.plain_words import describe, describe_kind, in_plain_words, short, with_place
from ganforge.rehearsal.size_hint import size_problem
from ganforge.rehearsal.unlearnt import Unlearnt
from ganforge.rehearsal.watched_scene import Watch, WatchedScene
from ganforge.step.batch import blank_batch
from ganforge.step.cast import Cast, build_cast, couples_samples
from ganforge.step.program import Program, Turn
from ganforge.step.scene import Scene
from ganforge.step.values import NotDifferentiable

CPU = Precision("fp32", torch.device("cpu"))


@dataclass
class DryRun:
    """What one step would do."""

    shapes: dict[str, Any]
    """The shape of every signal: a list of sizes, or a nested value of such lists."""
    forwards: dict[str, Counter[str]]
    """How often each network is called, by phase."""
    flops: dict[str, int]
    """Floating-point operations of forward and backward, by phase."""
    parameters: dict[str, int]
    """How many numbers each network learns."""
    from_before: tuple[tuple[str, str, str], ...] = ()
    """Where rule 3 matters: a phase, a signal that it sees as it was before a player stepped, and that player."""
    unchecked: tuple[str, ...] = ()
    """Expressions and losses that look at values, which fake tensors have not."""
    quiet: frozenset[str] = frozenset()
    """Networks, ops and methods of them, as they are called, that draw nothing from the global random generators."""
    repeatable: frozenset[str] = frozenset()
    """Networks whose forwards leave no trace: no running statistics, no vectors of a spectral norm, no number drawn on
    the host."""
    mergeable: frozenset[str] = frozenset()
    """Networks, and methods of them, that treat the samples of a batch as if each were alone."""
    operations: int = 0
    """Calls of kernels in a step, but those of optimizers."""
    layers: tuple[Layer, ...] = ()
    """The products of matrices and convolutions of a step."""


def dry_run(recipe: Recipe, to_train: bool = True) -> DryRun:
    """Run every phase once on fake tensors.

    Args:
        recipe: the recipe.
        to_train: whether it will be trained; what is trained already may have parts that could not learn.

    Raises:
        RecipeError: with every expression and loss whose shapes do not fit, and what could never learn, at its line;
            and with a size of samples that would fit, if it is that.
    """
    try:
        return _rehearsed(recipe, to_train)
    except RecipeError as faulty:
        if problem := size_problem(recipe, faulty.problems, lambda other: _rehearsed(other, to_train)):
            raise RecipeError([*faulty.problems, problem]) from faulty
        raise


def _rehearsed(recipe: Recipe, to_train: bool) -> DryRun:
    before = random_state()
    postpone_compiler()
    try:
        if to_train and (faulty := list(augmentation_faults(recipe))):
            raise RecipeError(faulty)
        fake = FakeTensorMode(allow_non_fake_inputs=True)
        unlearnt = Unlearnt()
        cast = _build(recipe, fake, unlearnt)
        with fake, withheld():
            return _Rehearsal(recipe, cast, unlearnt if to_train else None).run()
    finally:
        restore_random_state(before)


def _build(recipe: Recipe, fake: FakeTensorMode, unlearnt: Unlearnt) -> Cast:
    """The parts, of fake tensors if they can be."""
    try:
        with fake, withheld():
            return build_cast(recipe, unlearnt.place)
    except RecipeError:  # torch cannot fake parameters that have no shape yet
        cast = build_cast(recipe, unlearnt.place)
    if any(map(is_lazy, cast.networks.parameters())):
        with suppress(Exception):  # the rehearsal tells a fault at its place
            create_lazy_parameters(recipe, cast, CPU)
    return cast


class _Failed(Exception):
    """An expression could not be computed: its problem has been noted, or it looks at values, which fakes have not."""


# A part may well choose by a value, or mask; fake tensors cannot follow it, and what depends on it stays unchecked.
LOOKS_AT_VALUES = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException)


class _Rehearsal:
    def __init__(self, recipe: Recipe, cast: Cast, unlearnt: Unlearnt | None) -> None:
        self.recipe, self.cast, self.unlearnt = recipe, cast, unlearnt
        self.problems: list[Problem] = list(unlearnt.parts(recipe, cast)) if unlearnt else []
        self.program = Program(recipe, cast)
        self.failed: set[str] = set()
        self.unchecked: dict[str, None] = {}
        self.causes: set[tuple[str, str]] = set()
        self.labels = LabelWatch(recipe.dataset)

    def run(self) -> DryRun:
        recipe = self.recipe
        batch, watch = blank_batch(recipe, CPU), Watch(self.labels)
        self.labels.note(batch)
        turns = tuple(Turn.at(phase, 0) for phase in recipe.phases)
        scene = WatchedScene(self.program, batch, turns, watch)
        forwards, flops = {}, {}
        for position, phase in enumerate(recipe.phases):
            self.program.calls.forwards.clear()
            watch.flops = 0
            with watch:
                self._phase(scene, position)
            forwards[phase.name] = Counter(self.program.calls.forwards)
            flops[phase.name] = watch.flops
        from_before = tuple(scene.from_before)
        operations, layers = watch.operations, watch.all_layers()
        with watch:
            signals = {name: self._shape(scene, name) for name in recipe.signals}
        self._validation()
        self._optimizers()
        if self.problems:
            raise RecipeError(self.problems)
        return DryRun(
            shapes={**{name: list(value.shape) for name, value in batch.items()}, **signals},
            forwards=forwards,
            flops=flops,
            parameters={name: sum(p.numel() for p in self.cast.parameters([name])) for name in recipe.networks},
            from_before=from_before,
            unchecked=tuple(self.unchecked),
            quiet=frozenset(scene.called - scene.drawing),
            repeatable=frozenset(name.partition(".")[0] for name in scene.called) - scene.changing,
            mergeable=frozenset(self._mergeable(scene)),
            operations=operations,
            layers=layers,
        )

    def _mergeable(self, scene: WatchedScene) -> Iterator[str]:
        for function in scene.called - scene.drawing:
            network = function.partition(".")[0]
            alone = network in self.cast.networks and network not in scene.changing
            if alone and not couples_samples(self.cast.networks[network]):
                yield function

    def _optimizers(self) -> None:
        """Build them as the run will: some refuse values that their types allow."""
        for player in self.recipe.players.values():
            parameters = self.cast.parameters(player.networks)
            try:
                build(player.optimizer, parameters)
            except RecipeError as refused:
                self.problems += refused.problems
                continue
            if self.unlearnt and not any(map(is_lazy, parameters)):
                doing = f"the optimizer of player '{player.name}' cannot be tried"
                with unset_fake_temporarily(), blame(doing, player.optimizer):
                    self.problems += try_optimizer(player, [p.shape for p in parameters])

    def _phase(self, scene: Scene, position: int) -> None:
        phase = self.recipe.phases[position]
        scene.begin(position)
        total: Any = 0
        for loss in scene.turn.losses:
            try:
                with scene.computing(loss):
                    total = total + self._loss(scene, phase.name, loss)
            except _Failed:
                continue
        parameters = self.cast.parameters(self.recipe.players[phase.train].networks)
        if isinstance(total, Tensor) and self.unlearnt and not self.problems:
            self.problems += self.unlearnt.in_graph(total, phase, self.cast)
        if isinstance(total, Tensor) and total.requires_grad and not self.problems:
            try:
                total.backward(inputs=[p for p in parameters if p.requires_grad])
            except RuntimeError as error:
                message = f"the gradients of this phase cannot be computed: {in_plain_words(error)}"
                self.problems.append(Problem(message, phase.mark))
        scene.end()

    def _loss(self, scene: Scene, phase: str, loss: LossUse) -> Tensor:
        inputs = {name: self._bound(scene, bound) for name, bound in loss.inputs.items()}
        try:
            with blame("", loss.use):
                value = self.cast.losses[phase, loss.name](**inputs)
        except LOOKS_AT_VALUES as error:
            self.unchecked[loss.name] = None
            raise _Failed from error
        except Exception as error:
            described = [f"{name} {describe(value) or 'nothing'}" for name, value in inputs.items()]
            message = f"the loss '{loss.name}' cannot be computed: {in_plain_words(error)}"
            cure = "" if all(text in message for text in described) else f"its inputs: {', '.join(described)}"
            self.problems.append(Problem(message, loss.use.mark, with_place(cure, error)))
            raise _Failed from error
        if not isinstance(value, Tensor) or value.numel() != 1:
            message = f"the loss '{loss.name}' returns {describe_kind(value)}, not a tensor of one number"
            self.problems.append(Problem(message, loss.use.mark, "its function should end in .mean() or .sum()"))
            raise _Failed
        if value.layout != torch.strided:
            message = f"the loss '{loss.name}' returns a tensor that is {value.layout}"
            self.problems.append(Problem(message, loss.use.mark, "end it with .to_dense()"))
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
                    self._value(scene, signal, Name.of(name))
                except _Failed:
                    self.failed.add(name)
        if expression.names() & self.failed:
            raise _Failed

    def _value(self, scene: Scene, item: Written, wanted: Expression | None = None) -> Any:
        try:
            return scene.value(wanted or item.expression)
        except LOOKS_AT_VALUES as error:
            self.unchecked[item.text] = None
            raise _Failed from error
        except Exception as error:
            if scene.leaves or not isinstance(error, NotDifferentiable):  # which the loss that wants it tells
                self._explain(scene, item, error)
            raise _Failed from error

    def _explain(self, scene: Scene, item: Written, error: Exception) -> None:
        """Put the caret under the innermost call that fails."""
        place = item.expression
        for piece in reversed(list(item.expression.walk())):
            try:
                scene.value(piece)
            except Exception as inner:
                place, error = piece, inner
                break
        values = {child.text: _quiet(scene, child) for child in place.children}
        shown = {c.text: "" if isinstance(c, Constant) else describe(values[c.text]) for c in place.children}
        arguments = ", ".join(f"{text} {shape}".rstrip() for text, shape in shown.items())
        message = f"'{short(place.text)}' cannot be computed: {in_plain_words(error)}"
        cure = f"it is given {arguments}" if arguments else ""
        if isinstance(place, Attribute) and isinstance(error, AttributeError):
            value = values[place.value.text]
            message, cure = f"'{short(place.value.text)}' has no '{place.attribute}'", f"it is {describe_kind(value)}"
        self._note_once(place, Problem(message, item.place(place), with_place(cure, error)))

    def _note_once(self, place: Expression, problem: Problem) -> None:
        """One fault of a network is one problem, however often the network is called with the same shapes."""
        cause = (place.function if isinstance(place, Call) else place.text, problem.message.partition(": ")[2])
        if cause not in self.causes:
            self.problems.append(problem)
        self.causes.add(cause)

    def _shape(self, scene: Scene, name: str) -> Any:
        signal = self.recipe.signals[name]
        try:
            self._signals_first(scene, signal.expression)
            with torch.no_grad():
                value = self._value(scene, signal, Name.of(name))
        except _Failed:
            return None
        return map_tensors(lambda tensor: list(tensor.shape), value)  # type: ignore[arg-type, return-value]

    def _validation(self) -> None:
        """Compute the panels and metrics on the fields of a validation sample."""
        batch = blank_batch(self.recipe, CPU, validation=True)
        self.labels.note(batch)
        scene = Scene(self.program, batch, (), BEGINNING)
        metrics = (item for metric in self.recipe.metrics for item in written(metric.inputs))
        with torch.no_grad(), self.labels:
            for item in metrics:
                with suppress(_Failed):
                    self._bound(scene, item)
            for item in self.recipe.images:
                with suppress(_Failed):
                    self._image(item, self._bound(scene, item))

    def _image(self, item: Written, value: Any) -> None:
        if not (isinstance(value, Tensor) and value.ndim == 4):
            message = f"'{short(item.text)}' is no image, but {describe_kind(value)}"
            cure = "run.images takes what is [N, channels, height, width]"
            self.problems.append(Problem(message, item.place(item.expression), cure))


def _quiet(scene: Scene, expression: Expression) -> Any:
    try:
        return scene.value(expression)
    except Exception:
        return None
