"""Losses and gradients that are NaN or infinite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganforge.errors import TrainingFailed
from ganforge.ranks import ALONE, World
from ganforge.recipe.model import Recipe

HOPELESS = 100
"""Phases of one player left out in a row after which a run gives up."""
ENDING = 3
"""Phases left out in a row at its end with which a run has not finished."""
SHOWN = 3
"""Parameters of a network that a message names."""
GRADIENTS = "/gradients"
"""Stands for a loss's name; no loss is called so."""


class BadLosses:
    """Watches for losses and gradients that are NaN or infinite; on a GPU without waiting for it."""

    def __init__(self, recipe: Recipe, device: torch.device, world: World = ALONE) -> None:
        self.world = world
        self.skip = recipe.run.on_bad_loss == "skip"
        # Looking at a value makes the host wait for a GPU; on a CPU it is there already. Skipping must look.
        self.eager = self.skip or device.type == "cpu"
        self.device = device
        self.first: dict[tuple[str, ...], Tensor] = {}
        """For each set of losses that ran together, under its player: when each was first not finite, or -1."""
        self.names: dict[str, Sequence[str]] = {}
        """The parameters whose gradients were looked at, by player."""
        self.fault: TrainingFailed | None = None
        """The fault that was found last."""
        self.skipped = 0
        """How many phases were left out."""
        self.in_a_row: dict[str, int] = {}
        """How many phases of each player were left out since it last took a step."""
        self.learnt: dict[str, int] = {}
        """The step in which each player last learnt something."""
        self._moments: list[int] = []
        """The steps of what was noted, in its order: what comes first in a step is the cause of what follows."""
        self.advice = ""
        """The command that goes on after a bad loss, gentler."""

    def note(self, player: str, names: Sequence[str], values: Tensor, step: int) -> bool:
        """Whether the player may take its step on losses of these values, as far as this is looked at now."""
        finite = torch.isfinite(values)
        if self.eager:
            if bool(finite.all()):
                return True
            bad = finite.tolist().index(False)
            self.fault = _not_finite(player, names[bad], f"{float(values[bad])}", step)
            return False
        self._note((player, *names), finite, step)
        return True

    def note_gradients(self, player: str, names: Sequence[str], sizes: Tensor, step: int) -> bool:
        """Whether a player may take its step on gradients of these sizes `[len(names)]`, one for each parameter, as
        far as this is looked at now."""
        finite = torch.isfinite(sizes)
        if self.eager:
            if bool(finite.all()):
                return True
            self.fault = _no_gradients(player, _not(finite, names), names, step)
            return False
        self.names[player] = names
        self._note((player, GRADIENTS), finite, step)
        return True

    def _note(self, key: tuple[str, ...], finite: Tensor, step: int) -> None:
        now = torch.where(finite, -1, len(self._moments))
        self._moments.append(step)
        before = self.first.get(key)
        self.first[key] = now if before is None else torch.where(before < 0, now, before)

    def took(self, player: str, step: int) -> None:
        """Note that a player has taken its step."""
        self.in_a_row[player], self.learnt[player] = 0, step

    def leave_out(self, player: str, step: int) -> None:
        """A phase has a bad loss or gradient, on this rank or another one: it is left out.

        Raises:
            TrainingFailed: the policy is to stop, or nothing is left but to skip.
        """
        self.skipped += 1
        fault, self.fault = self.fault, None
        if not self.skip:
            self._raise([fault])
        self.count_left_out(player, 1, step)

    def count_left_out(self, player: str, phases: int, step: int) -> None:
        """Count phases of a player that were left out one after the other.

        Raises:
            TrainingFailed: they are so many that the run learns nothing any more.
        """
        self.in_a_row[player] = self.in_a_row.get(player, 0) + phases
        if self.in_a_row[player] >= HOPELESS:
            raise self._hopeless(player, step)

    def check(self) -> None:
        """Look at what was noted; call it where the device is synchronised anyway, and before anything is saved.

        Raises:
            TrainingFailed: a loss, or a gradient, was not finite at some step since the last check.
        """
        firsts = [
            (min(moments), key) for key, f in self.first.items() if (moments := [m for m in f.tolist() if m >= 0])
        ]
        if not self.eager:
            self._raise([self._fault(moment, key) for moment, key in sorted(firsts)[:1]])
        # Looked at, and all was well.
        self.first, self._moments = {}, []

    def _fault(self, moment: int, key: tuple[str, ...]) -> TrainingFailed:
        player, *names = key
        same = self.first[key].eq(moment)
        step = self._moments[moment]
        if names == [GRADIENTS]:
            return _no_gradients(player, _not(~same, self.names[player]), self.names[player], step)
        return _not_finite(player, names[same.tolist().index(True)], "NaN or infinite", step)

    def check_end(self, step: int) -> None:
        """Call it when all steps are taken.

        Raises:
            TrainingFailed: of some player the last phases were left out, or all.
        """
        for player, count in self.in_a_row.items():
            if count >= ENDING or (count and player not in self.learnt):
                raise self._hopeless(player, step)

    def ended_badly(self) -> bool:
        """Whether `check_end` raises."""
        try:
            self.check_end(0)
        except TrainingFailed:
            return True
        return False

    def _hopeless(self, player: str, step: int) -> TrainingFailed:
        count = self.in_a_row[player]
        last = f"since step {self.learnt[player]}" if player in self.learnt else "since the run began"
        return TrainingFailed(
            f"step {step}: player '{player}' has learnt nothing {last}: its last {count} phases were left out, for a "
            "loss or gradient that is NaN or infinite",
            "skipping helps against single bad batches only: run.on_bad_loss=stop ends the run at the first one,\n"
            "and names it; a lower learning rate, clip_norm on the player, or run.precision=fp32 are the usual cures",
        )

    def _raise(self, mine: Sequence[TrainingFailed | None]) -> None:
        """Raise on all ranks together, with the same words."""
        told = self.world.gather([[fault.message, fault.cure] for fault in mine if fault])
        alike = all(faults == told[0] for faults in told)  # gradients are averaged: then all ranks have the same
        for rank, faults in enumerate(told):
            for message, cure in faults:
                told_by = "" if alike else f"rank {rank}: "
                raise TrainingFailed(f"{told_by}{message}", "\n".join(filter(None, (cure, self.advice))))

    def state_dict(self) -> dict[str, Any]:
        """The counts that a resumed run goes on with."""
        return {"skipped": self.skipped, "in_a_row": dict(self.in_a_row), "learnt": dict(self.learnt)}

    def load_state_dict(self, state: Mapping[str, Any] | int) -> None:
        """Restore what `state_dict` gave; checkpoints of version 0.1 have but the number of phases left out."""
        state = {"skipped": state} if isinstance(state, int) else state
        self.skipped = state["skipped"]
        self.in_a_row, self.learnt = dict(state.get("in_a_row", {})), dict(state.get("learnt", {}))


def _not(finite: Tensor, names: Sequence[str]) -> list[str]:
    return [name for name, good in zip(names, finite.tolist(), strict=True) if not good]


def _not_finite(player: str, loss: str, what: str, step: int) -> TrainingFailed:
    return TrainingFailed(
        f"step {step}: the loss '{loss}' of player '{player}' is {what}",
        "look at its inputs in the panels and at gradients/* in TensorBoard; a lower learning rate, clip_norm on\n"
        "the player, or run.precision=fp32 are the usual cures. The last checkpoint is from before it;\n"
        "run.on_bad_loss=skip leaves such phases out instead of stopping",
    )


def _no_gradients(player: str, bad: Sequence[str], names: Sequence[str], step: int) -> TrainingFailed:
    """`names` are those of all parameters, the network before the first dot."""
    told = []
    for network in dict.fromkeys(name.partition(".")[0] for name in bad):
        mine = [name.partition(".")[2] for name in bad if name.partition(".")[0] == network]
        count = sum(name.partition(".")[0] == network for name in names)
        shown = ", ".join(mine[:SHOWN]) + (f" and {len(mine) - SHOWN} more" if len(mine) > SHOWN else "")
        told.append(
            f"network '{network}' (all {count} weights)" if len(mine) == count > 1 else f"'{network}' ({shown})"
        )
    return TrainingFailed(
        f"step {step}: gradients of player '{player}' are NaN or infinite, though its losses are finite: "
        f"{', '.join(told)}",
        "look for sqrt, norm, log or a division at 0 in its losses and networks, and give them an epsilon; a lower\n"
        "learning rate or run.precision=fp32 may help as well. The last checkpoint is from before it;\n"
        "run.on_bad_loss=skip leaves such phases out instead of stopping",
    )
