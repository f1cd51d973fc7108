"""Where a phase sees what its losses differentiate with respect to: leaves, and what is computed from them (rule 4).

A leaf is seen by the inputs of the losses that differentiate with respect to it. Other losses take no notice, but share
what is the same value: `D(real)` runs once for the adversarial loss and for R1. What would be another value from a leaf
than without one, because a named signal is held from before, belongs to the differentiating losses alone.
"""

from __future__ import annotations

from collections import defaultdict

from ganforge.recipe.expressions import Expression, Name
from ganforge.recipe.model import LossUse
from ganforge.recipe.name_checks import dependencies
from ganforge.step.values import NONE, NOTHING, Shared, Values


def shared(scene: Values) -> Shared:
    """What the phase that a scene has just entered shares; it follows from the turns alone."""
    differentiating = [loss for loss in scene.turn.losses if loss.leaves]
    return _Search(scene).find(differentiating) if differentiating else NOTHING


class _Search:
    def __init__(self, scene: Values) -> None:
        self.scene, self.program = scene, scene.program
        self.recipe = scene.program.recipe
        self.own = scene.audience
        expressions = [w.expression for loss in scene.turn.learnt for w in loss.expressions()]
        self.used = set[str]().union(*(dependencies(self.recipe, expression) for expression in expressions))
        self.inline: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        self.signals: defaultdict[str, frozenset[str]] = defaultdict(frozenset)

    def find(self, losses: list[LossUse]) -> Shared:
        for loss in losses:
            for written in loss.expressions():
                self._visit(written.expression, loss.leaves)
        return Shared(dict(self.inline), dict(self.signals))

    def _visit(self, expression: Expression, leaves: frozenset[str]) -> None:
        below = self._below(expression, leaves)
        if not below:
            return
        if isinstance(expression, Name) and expression.name in self.recipe.signals:
            if self._shareable(expression.name, below):
                self._share(expression.name, below)
            else:
                self._visit(self.recipe.signals[expression.name].expression, below)
            return
        if all(self._shareable(name, leaves) for name in self._signals(expression, leaves)):
            self.inline[expression.text] |= below
        for child in expression.children:
            self._visit(child, leaves)

    def _share(self, name: str, leaves: frozenset[str]) -> None:
        signal = self.recipe.signals[name].expression
        below = leaves & self.program.path(signal)
        self.signals[name] |= below
        for inner in self._signals(signal, below):
            self._share(inner, below)

    def _below(self, expression: Expression, leaves: frozenset[str]) -> frozenset[str]:
        """The leaves that an expression is computed from; it may be one itself."""
        return (leaves & self.program.path(expression)) - {expression.text}

    def _signals(self, expression: Expression, leaves: frozenset[str]) -> list[str]:
        """The signals that stand in an expression and are computed from leaves."""
        names = (piece for piece in expression.walk() if isinstance(piece, Name) and piece.name in self.recipe.signals)
        return [name.name for name in names if self._below(name, leaves)]

    def _shareable(self, name: str, leaves: frozenset[str]) -> bool:
        """Whether a signal that is computed from leaves is what it would be without them.

        It is if it is computed in this phase in any case, and for this phase's player or for none. What a leaf is must
        not depend on who asks: a field or a signal has one value, an inline expression has one in each signal.
        """
        signal = self.recipe.signals[name].expression
        below = leaves & self.program.path(signal)
        return (
            name in self.used
            and all(leaf.isidentifier() for leaf in below)
            and not self.scene.has(name)
            and self.scene.audience_of(signal) in (self.own, NONE)
            and all(self._shareable(inner, below) for inner in self._signals(signal, below))
        )
