"""A doctor for training: it knows the usual diseases by what a run reads and draws anyway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ganforge import Callback, Run
from ganforge.builtin.callbacks.doctor.disease import Disease, DrawnDisease, Patience, ReadDisease
from ganforge.builtin.callbacks.doctor.game import (
    DiscriminatorCollapses,
    DiscriminatorWins,
    Oscillation,
    VanishedGradient,
)
from ganforge.builtin.callbacks.doctor.judges import Judges
from ganforge.builtin.callbacks.doctor.machine import DataWait, SkippedSteps
from ganforge.builtin.callbacks.doctor.pictures import (
    Checkerboard,
    CopiedInput,
    HiddenInformation,
    LuminanceInversion,
    ModeCollapse,
)

DISEASES: tuple[type[Disease], ...] = (
    DiscriminatorWins,
    DiscriminatorCollapses,
    Oscillation,
    VanishedGradient,
    CopiedInput,
    LuminanceInversion,
    ModeCollapse,
    Checkerboard,
    HiddenInformation,
    SkippedSteps,
    DataWait,
)

Name = Literal[
    "discriminator_wins",
    "discriminator_collapses",
    "oscillation",
    "vanished_gradient",
    "copied_input",
    "luminance_inversion",
    "mode_collapse",
    "checkerboard",
    "hidden_information",
    "skipped_steps",
    "data_wait",
]


class Doctor(Callback):
    """Warns of the usual diseases of training, each once, with what to try: on the terminal, in TensorBoard and in
    `run.json`. It looks only at what is read and drawn anyway.

    Args:
        readings: how many readings of the statistics in a row must show a disease before it is told.
        drawings: how many drawings of the fixed pictures in a row must show it.
        warmup_steps: how long networks may look ill because they are new; by default a twentieth of the run, and at
            least 500 steps.
        ignore: diseases not to look for, by name.
    """

    def __init__(
        self,
        readings: Annotated[int, Field(ge=1)] = 10,
        drawings: Annotated[int, Field(ge=1)] = 3,
        warmup_steps: Annotated[int, Field(ge=0)] | None = None,
        ignore: tuple[Name, ...] = (),
    ) -> None:
        self.readings, self.drawings, self.warmup_steps = readings, drawings, warmup_steps
        self.ignore = ignore
        self._judges = Judges(readings)
        self._diseases: list[Disease] = []
        self._patience = Patience(0, readings, drawings)

    def run_started(self, run: Run) -> None:
        warmup = max(500, run.total_steps // 20) if self.warmup_steps is None else self.warmup_steps
        self._patience = Patience(warmup, self.readings, self.drawings)
        self._diseases = [kind(self._patience) for kind in DISEASES if kind.name() not in self.ignore]

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        self._judges.read(scalars)
        for disease in [each for each in self._diseases if isinstance(each, ReadDisease)]:
            self._tell(run, disease, disease.read(run, scalars, self._judges))

    def distributions_read(self, run: Run, distributions: Mapping[str, Tensor]) -> None:
        self._judges.examine(distributions)

    def images_drawn(self, run: Run, panels: Mapping[str, Tensor]) -> None:
        if run.step < self._patience.warmup_steps:
            return
        for disease in [each for each in self._diseases if isinstance(each, DrawnDisease)]:
            self._tell(run, disease, disease.look(run, self._judges))

    def _tell(self, run: Run, disease: Disease, found: Iterable[str]) -> None:
        """Once it was found, a disease is not looked for any more."""
        if messages := list(found):
            run.diagnose(disease.diagnosis("; ".join(messages), run))
            self._diseases.remove(disease)
