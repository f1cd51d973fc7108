"""When checkpoints are saved, and which are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ganforge.api.callbacks import Diagnosis
from ganforge.runs.best import Best
from ganforge.runs.checkpoint.files import Checkpoint, prune, save_checkpoint
from ganforge.runs.checkpoint.saving import capture, write_shards
from ganforge.runs.run_folder import RunFolder
from ganforge.training.rank_drift import drifted
from ganforge.training.trainer import Trainer


@dataclass
class Keeper:
    """Saves a training, each step at most once."""

    trainer: Trainer
    folder: RunFolder
    best: Best
    """The steps whose figures are best: their checkpoints stay."""
    diagnose: Callable[[Diagnosis], None]
    """Is told where ranks have drifted apart."""
    emit: Callable[..., None]
    """Tells callbacks of an event."""
    saved: int | None = None
    """The step of the newest checkpoint."""

    def save(self, unseen: Sequence[str] = ()) -> None:
        """Save, if this step is not saved yet; `unseen` is what shows it, and is still to be done.

        Raises:
            EnvironmentFault: the disk is full or refuses.
            TrainingFailed: weights or losses are not finite, or a state cannot be saved.
        """
        world, step = self.trainer.world, self.trainer.progress.step
        self.trainer.bad_losses.check()
        if self.saved == step:
            world.first_alone(self._prune)
            return
        checkpoint = capture(self.trainer)
        if apart := drifted(self.trainer):
            self.diagnose(apart)
        write_shards(self.trainer, self.folder.checkpoints)
        world.first_alone(lambda: self._write(checkpoint, step, unseen))
        self.saved = step

    def _write(self, checkpoint: Checkpoint | None, step: int, unseen: Sequence[str]) -> None:
        assert checkpoint is not None
        checkpoint.training["best"] = self.best.record()
        path = save_checkpoint(self.folder.checkpoints, step, checkpoint)
        self._prune()
        self.folder.note(step=step, checkpoint=path.name, unseen=list(unseen))
        self.emit("checkpoint_saved", str(path))

    def _prune(self) -> None:
        settings = self.trainer.recipe.run
        prune(self.folder.checkpoints, settings.keep_last, settings.keep_every, self.best.steps)
