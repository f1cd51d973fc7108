"""Losses that are NaN or infinite."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganforge.engine.world import ALONE, World
from ganforge.errors import TrainingFailed
from ganforge.recipe.model import Recipe


class BadLosses:
    """Watches for losses that are NaN or infinite; on a GPU without waiting for it."""

    def __init__(self, recipe: Recipe, device: torch.device, world: World = ALONE) -> None:
        self.world = world
        self.skip = recipe.run.on_bad_loss == "skip"
        # Looking at a value makes the host wait for a GPU; on a CPU it is there already. Skipping must look.
        self.eager = self.skip or device.type == "cpu"
        self.device = device
        self.first: dict[tuple[str, ...], Tensor] = {}
        """For each set of losses that ran together, under its player: the first step at which each was not finite."""
        self.fault: TrainingFailed | None = None
        """The latest one that was looked at."""
        self.skipped = 0
        """Phases that were left out."""

    def note(self, player: str, names: Sequence[str], values: Tensor, step: int) -> bool:
        """Whether the player may take its step on losses of these values, as far as this is looked at now."""
        finite = torch.isfinite(values)
        if self.eager:
            if bool(finite.all()):
                return True
            bad = finite.tolist().index(False)
            self.fault = _not_finite(player, names[bad], f"{float(values[bad])}", step)
            return False
        now = torch.where(finite, -1, step)
        key = (player, *names)
        before = self.first.get(key)
        self.first[key] = now if before is None else torch.where(before < 0, now, before)
        return True

    def leave_out(self) -> None:
        """A phase has a bad loss, on this rank or another one: it is left out.

        Raises:
            TrainingFailed: the policy is to stop.
        """
        self.skipped += 1
        fault, self.fault = self.fault, None
        if not self.skip:
            self._raise([fault])

    def check(self) -> None:
        """Look at what was noted; call it where the device is synchronised anyway, and before anything is saved.

        Raises:
            TrainingFailed: a loss was not finite at some step since the last check.
        """
        bad = [
            (step, player, name)
            for (player, *names), first in self.first.items()
            for name, step in zip(names, first.tolist(), strict=True)
            if step >= 0
        ]
        if not self.eager:
            first = sorted(bad, key=lambda place: place[0])[:1]
            self._raise([_not_finite(player, name, "NaN or infinite", step) for step, player, name in first])

    def _raise(self, mine: Sequence[TrainingFailed | None]) -> None:
        """All ranks end together, with the same words."""
        told = self.world.gather([str(fault) for fault in mine if fault])
        for rank, faults in enumerate(told):
            for fault in faults:
                raise TrainingFailed(fault if self.world.size == 1 else f"rank {rank}: {fault}")


def _not_finite(player: str, loss: str, what: str, step: int) -> TrainingFailed:
    return TrainingFailed(
        f"step {step}: the loss '{loss}' of player '{player}' is {what}\n"
        "  look at its inputs in the panels and at gradients/* in TensorBoard; a lower learning rate, clip_norm on\n"
        "  the player, or run.precision=fp32 are the usual cures. The last checkpoint is from before it;\n"
        "  run.on_bad_loss=skip leaves such phases out instead of stopping"
    )
