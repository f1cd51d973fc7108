"""What a run shows of itself: panels and metrics over the validation samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from torch import Tensor

from ganforge.errors import RecipeError, TrainingFailed, UsageError
from ganforge.runs.best import Best
from ganforge.runs.checkpoint.keeper import Keeper
from ganforge.runs.observers import Observers
from ganforge.training.trainer import Trainer
from ganforge.training.validation import Validation


@dataclass
class Shown:
    """Draws panels and computes metrics, on the first rank, without touching the training."""

    trainer: Trainer
    validation: Validation
    observers: Observers
    best: Best
    keeper: Keeper
    emit: Callable[..., None]
    """Tells callbacks of an event."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """The latest metrics, by name."""

    @property
    def _step(self) -> int:
        return self.trainer.progress.step

    def draw(self) -> None:
        """Draw the panels."""
        self.trainer.bad_losses.check()
        with self.trainer.whole():
            self.trainer.world.first_alone(self._show_panels)

    def _show_panels(self) -> None:
        panels = None
        with self.observers.apart("panels", "cannot be drawn") if self._step else nullcontext():
            panels = self.validation.panels()
        if panels is not None:
            self.emit("images_drawn", panels)

    def compute(self, signal: str, given: Mapping[str, Sequence[Tensor]]) -> Sequence[Tensor]:
        """A signal of each fixed sample, from the values given to other signals.

        Raises:
            UsageError: networks are in parts, and this rank has none of them whole.
        """
        sharding = self.trainer.sharding
        if sharding and not sharding.lent:
            raise UsageError(
                f"networks are in parts ({', '.join(sharding.networks)}), and no rank can call one alone",
                "call run.compute from images_drawn, where the first rank has them whole; or leave run.shard out",
            )
        return self.validation.compute(signal, given)

    def measure(self) -> None:
        """Compute the metrics; the checkpoint of the best is kept."""
        world = self.trainer.world
        self.trainer.bad_losses.check()
        with self.trainer.whole():
            self.figures = world.from_first(world.first_alone(self._judge))
        if self._step and self.best.note(self.figures, self._step):
            # Noted first: a resumed run forgets what was not saved, and cannot know what was saved and not noted.
            self.keeper.folder.note(best=self.best.record())
            self.keeper.save()
        self.emit("metrics_computed", self.figures)

    def _judge(self) -> dict[str, float]:
        """The metrics, but those that fail."""
        if not self.observers.strict:
            return self.validation.metrics(failed=self.observers.metric_failed)
        try:
            return self.validation.metrics()
        except RecipeError as error:
            raise TrainingFailed(f"step {self._step}: {error}") from error

    def rehearse_metrics(self) -> None:
        """Find what cannot be measured before the first step, not after the last one.

        Raises:
            RecipeError: a metric cannot be computed.
        """
        if self.trainer.recipe.metrics:
            with self.trainer.whole():
                self.trainer.world.first_alone(self.validation.rehearse_metrics)
