"""What diseases have in common: how they are named, how they are asked, and how long they must last."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ganforge import Diagnosis, Run
from ganforge.builtin.callbacks.doctor.judges import Judges

DOCUMENT = "docs/doctor.md"


@dataclass(frozen=True)
class Patience:
    """How long a disease must last."""

    warmup_steps: int
    """Steps before which nothing has settled."""
    readings: int
    """How many readings of the statistics in a row must show it."""
    drawings: int
    """How many drawings of the fixed pictures in a row must show it."""


class Disease(ABC):
    """Something that can go wrong. A look gives what was found, in a sentence with its figures, or nothing."""

    cure: ClassVar[str]
    """What to try."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._counts: Counter[str] = Counter()

    @classmethod
    def name(cls) -> str:
        """The disease's name in messages: `ModeCollapse` is `mode_collapse`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def overrides(self, run: Run) -> list[str]:
        """A change to try in the run itself; none where it should be started anew, or nothing can be named."""
        return []

    def diagnosis(self, message: str, run: Run | None = None) -> Diagnosis:
        """What is told once it was found, with the command that changes the run and goes on."""
        cure = self.cure
        if run is not None and (overrides := self.overrides(run)):
            cure += f"\n  For example: {run.resume_command('--accept-changes', *overrides)}"
        return Diagnosis(self.name(), message, cure, f"{DOCUMENT}#{self.name().replace('_', '-')}")

    def lasts(self, place: str, seen: bool, times: int) -> bool:
        """Whether the disease was seen so many times in a row at this place."""
        self._counts[place] = self._counts[place] + 1 if seen else 0
        return self._counts[place] >= times


class ReadDisease(Disease):
    """A disease that shows in the statistics."""

    @abstractmethod
    def read(self, run: Run, scalars: Mapping[str, float], judges: Judges) -> Iterable[str]:
        """Yield what a reading of the statistics shows of the disease."""


class DrawnDisease(Disease):
    """A disease that shows in the fixed pictures; it is not asked before the warm-up is over."""

    @abstractmethod
    def look(self, run: Run, judges: Judges) -> Iterable[str]:
        """Yield what the pictures in `run.drawn` show of the disease."""


def drawn(run: Run, *names: str | None) -> list[Tensor] | None:
    """The fixed pictures of signals or fields, `[N, C, H, W]` each; None unless there are two, all of one shape."""
    sets = [list(run.drawn.get(name or "", ())) for name in names]
    alike = len({picture.shape for pictures in sets for picture in pictures}) == 1
    return [torch.stack(pictures) for pictures in sets] if alike and min(map(len, sets)) > 1 else None


def judging(run: Run) -> list[str]:
    """The players that train judges."""
    return list(dict.fromkeys(owner for d in run.directions if (owner := run.recipe.owner(d.judge))))


def making(run: Run) -> list[str]:
    """The other players: those that make pictures."""
    return [name for name in run.recipe.players if name not in judging(run)]


def less_of_the_way_back(run: Run) -> list[str]:
    """Half the weight for the losses that compare with what is translated, or with what is translated back."""
    sources = {text for d in run.directions for text in (d.source, d.recovered) if text}
    found = []
    for number, phase in enumerate(run.recipe.phases):
        for loss in phase.losses if phase.train in making(run) else ():
            compared = {item.text for item in loss.expressions()}
            if compared & sources and isinstance(loss.weight, float):
                found.append(f"phases.{number}.losses.{loss.name}.weight={loss.weight / 2:.3g}")
    return found
