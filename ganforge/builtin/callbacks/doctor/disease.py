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
    """Before so many steps nothing has settled."""
    readings: int
    """Readings of the statistics in a row."""
    drawings: int
    """Drawings of the fixed pictures in a row."""


class Disease(ABC):
    """Something that can go wrong. A look gives what was found, in a sentence with its figures, or nothing.

    Args:
        patience: how long it must last.
    """

    cure: ClassVar[str]
    """What to try."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._counts: Counter[str] = Counter()

    @classmethod
    def name(cls) -> str:
        """`ModeCollapse` is `mode_collapse`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def diagnosis(self, message: str) -> Diagnosis:
        """What is told once it was found."""
        return Diagnosis(self.name(), message, self.cure, f"{DOCUMENT}#{self.name().replace('_', '-')}")

    def lasts(self, place: str, seen: bool, times: int) -> bool:
        """Whether it was seen so many times in a row at this place."""
        self._counts[place] = self._counts[place] + 1 if seen else 0
        return self._counts[place] >= times


class ReadDisease(Disease):
    """One that shows in the statistics."""

    @abstractmethod
    def read(self, run: Run, scalars: Mapping[str, float], judges: Judges) -> Iterable[str]:
        """Look at a reading."""


class DrawnDisease(Disease):
    """One that shows in the fixed pictures; it is not asked before the warm-up is over."""

    @abstractmethod
    def look(self, run: Run, judges: Judges) -> Iterable[str]:
        """Look at `run.drawn`."""


def drawn(run: Run, *names: str | None) -> list[Tensor] | None:
    """The fixed pictures of signals or fields, `[N, C, H, W]` each; None unless there are two, all of one shape."""
    sets = [list(run.drawn.get(name or "", ())) for name in names]
    alike = len({picture.shape for pictures in sets for picture in pictures}) == 1
    return [torch.stack(pictures) for pictures in sets] if alike and min(map(len, sets)) > 1 else None
