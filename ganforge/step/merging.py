"""Forwards of one network that are ready together, as one batch: fewer and fuller kernels, the same mathematics.

While the network runs for one expression, others of the same phase that only wait for their turn run along: the
identity pass of a generator beside its translation, a discriminator's real images beside its fakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ganforge.core.nested import tensors
from ganforge.recipe.expressions import Attribute, Call, Constant, Expression, Name, Negative
from ganforge.step.program import Program, Turns
from ganforge.step.values import NONE, Values


@dataclass(frozen=True)
class Companion:
    """A call that can run along, and the signal whose whole expression it is."""

    call: Call
    signal: str | None


class Merging:
    """Finds the calls that can run along, once for each call of each kind of step."""

    def __init__(self, program: Program) -> None:
        levers = program.calls.levers
        self.program, self.quiet, self.merged = program, levers.quiet, set(levers.merged)
        self._found: dict[tuple[Turns, int, frozenset[str], bool, str], tuple[Companion, ...]] = {}

    def companions(self, scene: Values, call: Call) -> tuple[Companion, ...]:
        """What can run along with a call that is about to run. What is ready when depends on the turns alone."""
        if call.function not in self.merged or not scene.turns or scene.unwatched is not None:
            return ()
        if call.keywords or scene.leaves & self.program.path(call):
            return ()  # what is differentiated twice would be so for the whole batch
        key = (scene.turns, scene.position, scene.audience, scene.inline, call.text)
        if key not in self._found:
            self._found[key] = tuple(self._search(scene, call))
        return self._found[key]

    def forget(self, function: str) -> None:
        """Merge this network's forwards no more."""
        self.merged.discard(function)
        self._found.clear()

    def _search(self, scene: Values, call: Call) -> Iterator[Companion]:
        waiting = list(pending(scene))
        readiness = _Readiness(scene, self.quiet, waiting)
        for signal, expression, leaves in waiting:
            if not isinstance(expression, Call) or expression.text == call.text or leaves:
                continue
            fits = expression.function == call.function and self._alike(scene, call, expression)
            # An inline expression lives in its phase, not in the room of a signal.
            same_audience = scene.inline if signal is None else scene.audience_of(expression) == scene.audience
            if fits and same_audience and readiness(expression, signal):
                yield Companion(expression, signal)

    def _alike(self, scene: Values, one: Call, other: Call) -> bool:
        """Whether both want a graph, or neither: what wants none would be differentiated for nothing."""
        graphs = {bool(scene.audience & self.program.path(each)) for each in (one, other)}
        return len(graphs) == 1 and not other.keywords and len(one.arguments) == len(other.arguments)


Pending = tuple[str | None, Expression, frozenset[str]]
"""An expression that is still to be computed, the signal whose whole expression it is, and the leaves that it sees."""


def pending(scene: Values, watching: bool = False) -> Iterator[Pending]:
    """What this phase has yet to compute, named signals and inline expressions; also for losses that only watch?"""
    seen: set[tuple[str, frozenset[str]]] = set()

    def visit(expression: Expression, inline: bool, leaves: frozenset[str]) -> Iterator[Pending]:
        signals = scene.program.recipe.signals
        signal = signals.get(expression.name) if isinstance(expression, Name) else None
        below = scene.below(expression, leaves) if inline or signal else NONE
        if (inline and (expression.text, below) in scene.of_phase) or (expression.text, below) in seen:
            return
        if signal and not scene.private(expression.text, below):
            if not scene.has(expression.text, of_phase=True):
                seen.add((expression.text, below))
                common = scene.shared.signals.get(expression.text, NONE)
                yield expression.text, signal.expression, common
                for child in signal.expression.children:
                    yield from visit(child, False, common)
            return
        if signal:  # computed from leaves, like what stands in the phase itself
            yield from visit(signal.expression, True, below)
            return
        if isinstance(expression, Name):
            return
        if inline:
            seen.add((expression.text, below))
            yield None, expression, below
        for child in expression.children:
            yield from visit(child, inline, below if inline else leaves)

    for loss in scene.turn.losses if watching else scene.turn.learnt:
        for written in loss.expressions():
            yield from visit(written.expression, True, loss.leaves)


class _Readiness:
    """Whether a call can be made now: without running another network, and no random number changes."""

    def __init__(self, scene: Values, quiet: frozenset[str], waiting: Sequence[Pending]) -> None:
        self.scene, self.quiet = scene, quiet
        # The same text is one call within the phase, and another in each signal.
        calls = {
            (signal, piece.text): piece.name
            for signal, each, _ in waiting
            for piece in each.walk()
            if isinstance(piece, Call)
        }
        self.calls = Counter(calls.values())

    def __call__(self, call: Call, signal: str | None) -> bool:
        return all(self._ready(argument, inline=signal is None) for argument in call.arguments)

    def _ready(self, expression: Expression, inline: bool) -> bool:
        scene, recipe = self.scene, self.scene.program.recipe
        if inline and (expression.text, NONE) in scene.local:
            return True
        children = (self._ready(child, inline) for child in expression.children)
        match expression:
            case Constant():
                return True
            case Negative() | Attribute():
                return all(children)
            case Name(name=name) if name in recipe.signals:
                return scene.has(name) or self._ready(recipe.signals[name].expression, inline=False)
            case Name(name=name):
                return name in scene.batch
            case Call(name=name, function=function):
                # Of two calls of one op, such as a replay buffer, the order matters.
                first = name not in recipe.ops or self.calls[name] == 1
                alone = function in self.quiet and name not in scene.cast.networks
                return alone and first and all(children)
        return False


def merged(rows: Sequence[Sequence[Any]]) -> tuple[list[Any], list[int]] | None:
    """The arguments of several calls as those of one, and how many samples each had; None if they do not fit."""
    sizes = [next((len(value) for value in row if isinstance(value, Tensor) and value.ndim), 0) for row in rows]
    columns = []
    for column in zip(*rows, strict=True):
        if all(isinstance(value, Tensor) for value in column):
            kinds = {(value.shape[1:], value.dtype, value.ndim > 0) for value in column}
            if len(kinds) > 1 or [len(value) if value.ndim else 0 for value in column] != sizes:
                return None
            columns.append(torch.cat(column))
        elif any(True for value in column for _ in tensors(value)) or any(value != column[0] for value in column):
            return None
        else:
            columns.append(column[0])
    return (columns, sizes) if 0 not in sizes else None
