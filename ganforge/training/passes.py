"""The passes of a step as they are written, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from ganforge.api.context import Progress
from ganforge.step.batch import Batch
from ganforge.step.program import Turn, Turns
from ganforge.step.scene import Scene
from ganforge.training.lanes import Lanes
from ganforge.training.learner import Learner, PassFigures


class Passes:
    """The forward and backward passes of one step, phase by phase: the micro-batches of this rank, lane by lane.

    Args:
        arm: is told before the last backward pass of each phase.
        around: within this the passes of a phase are made.
    """

    def __init__(
        self,
        learner: Learner,
        lanes: Lanes,
        turns: Turns,
        batches: Sequence[Batch],
        progress: Progress,
        arm: Callable[[Turn], None],
        around: Callable[[Turns], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        self.learner, self.lanes, self.turns, self.arm, self.around = learner, lanes, turns, arm, around
        self.each = len(batches) // len(lanes.held)
        self.scenes = [
            Scene(learner.program, batch, turns, progress, lanes.held[number // self.each].cast)
            for number, batch in enumerate(batches)
        ]

    def __call__(self, position: int) -> Sequence[PassFigures]:
        """The passes of a phase over all micro-batches; gradients are added up in the parameters."""
        for scene in self.scenes:
            scene.begin(position)
        with self.around(self.turns):
            return list(self._learnt(position))

    def _learnt(self, position: int) -> Iterator[PassFigures]:
        portion = self.lanes.portion(len(self.scenes))
        for number, scene in enumerate(self.scenes):
            if number + 1 == len(self.scenes):
                self.arm(self.turns[position])
            with self.lanes.at_work(number // self.each):
                yield self.learner.learn(scene, portion)

    def end(self, position: int) -> None:
        """Tell the scenes that the phase's player has stepped."""
        for scene in self.scenes:
            scene.end()
