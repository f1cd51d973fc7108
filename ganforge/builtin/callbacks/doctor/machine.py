"""Diseases of the machinery: numbers that are none, and a device that waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ganforge import Run
from ganforge.builtin.callbacks.doctor.disease import Patience, ReadDisease
from ganforge.builtin.callbacks.doctor.judges import Judges


class SkippedSteps(ReadDisease):
    """Updates are left out again and again, for losses that are NaN or infinite, or gradients that overflow fp16.

    At each of the latest readings, more phases were left out than at the one before (`run.on_bad_loss: skip`), or the
    loss scale of a player was below 1: it halves at every overflow, and scales that small would no longer help. One
    loss now and then is what skipping is for, and a scale that falls from 65536 at first is how it finds its place.
    """

    cure = (
        "Look at gradients/* and losses/* before it, and for sqrt, log or norm at 0; lower the learning rate, set "
        "clip_norm on the player, or take run.precision=bf16 or fp32."
    )

    def overrides(self, run: Run) -> list[str]:
        return run.scaled_rates(run.recipe.players, 0.5)

    def __init__(self, patience: Patience) -> None:
        super().__init__(patience)
        self._skipped: float | None = None

    def read(self, run: Run, scalars: Mapping[str, float], judges: Judges) -> Iterator[str]:
        times = self.patience.readings
        now = scalars.get("losses/skipped_phases", 0.0)
        before, self._skipped = now if self._skipped is None else self._skipped, now
        if self.lasts("skipped", now > before, times):
            yield f"a loss is not finite again and again: {now:.0f} phases were left out so far"
        for tag, scale in scalars.items():
            kind, _, player = tag.partition("/")
            if self.lasts(tag, kind == "loss_scale" and scale < 1, times):
                yield f"gradients of {player} overflow fp16 at nearly every step: its loss scale fell to {scale:.2g}"


class DataWait(ReadDisease):
    """The device waits for data more than it computes.

    At each of the latest readings more than half of a step's time went by waiting for its batch. Steps of a few
    milliseconds wait for 0.3 to 0.4 of it even where the data lie in memory.
    """

    cure = (
        "Load in more processes (data.workers), keep decoded pictures in memory (data.cache), or store them at the "
        "size in use."
    )
    SHARE = 0.5

    def read(self, run: Run, scalars: Mapping[str, float], judges: Judges) -> Iterator[str]:
        share = scalars.get("speed/data_wait_share", 0.0)
        if self.lasts("", share > self.SHARE, self.patience.readings):
            wait, step = (scalars[f"speed/seconds/{name}"] for name in ("data_wait", "step"))
            yield f"{share:.0%} of each step's time goes by waiting for data: {wait:.2g} s of {step:.2g} s"
