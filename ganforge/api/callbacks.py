"""What a callback sees of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class Direction:
    """A signal that a discriminator judges: a translation, or a picture made from noise."""

    name: str
    """`a2b`, or the signal's name."""
    source: str | None
    """The batch field that is translated; none where pictures are made from noise."""
    translated: str
    """The signal."""
    target: str
    """The batch field that the judge is shown as real."""
    judge: str
    """The discriminator."""
    recovered: str | None
    """The signal that translates back, where a loss compares it with the source."""


@dataclass(frozen=True)
class Diagnosis:
    """Something that goes wrong in a run, in words for whoever trains it."""

    name: str
    """The name in lower_snake: `discriminator_wins`."""
    message: str
    """What is wrong, with the figures that show it."""
    cure: str
    """What to try."""
    link: str = ""
    """Where the documents say more."""


@runtime_checkable
class Run(Protocol):
    """One training, as callbacks are handed it: they read it, and may say what goes wrong."""

    @property
    def recipe(self) -> Any:
        """The recipe, read and checked. What it is made of is the engine's, and may change."""

    @property
    def folder(self) -> Path:
        """Where the run writes."""

    @property
    def device(self) -> torch.device:
        """The device that the run computes on."""

    @property
    def plan(self) -> Any:
        """What a dry run found: `parameters` of networks, `forwards` of each phase, `shapes` of signals."""

    @property
    def choice(self) -> Any:
        """What the recipe leaves to the machine, `why` it is what it is, and the `trials` that decided."""

    @property
    def levers(self) -> Any:
        """What makes a step fast; as a text it tells which of it is in use."""

    @property
    def division(self) -> Any:
        """How the samples of a step are divided among ranks, lanes and micro-batches; as a text it tells."""

    @property
    def directions(self) -> Sequence[Direction]:
        """What is translated into what, or made from noise, and who judges it."""

    @property
    def step(self) -> int:
        """Steps done."""

    @property
    def total_steps(self) -> int:
        """Steps that the run will have when it ends."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps that one pass through the data takes."""

    @property
    def images_per_step(self) -> int:
        """Training samples that a step sees, on all ranks together."""

    @property
    def status(self) -> str:
        """`running`, `finished`, `interrupted` or `failed`."""

    @property
    def resumed_at(self) -> int | None:
        """The step that a resumed run went on from."""

    @property
    def changes(self) -> Sequence[Any]:
        """What a resumed run does otherwise from there on: `key`, `before` and `after` of each."""

    @property
    def record(self) -> Mapping[str, Any]:
        """What `run.json` says."""

    @property
    def figures(self) -> Mapping[str, float]:
        """The latest metrics, by name."""

    @property
    def diagnoses(self) -> Mapping[str, Diagnosis]:
        """What callbacks found wrong so far, by name."""

    @property
    def failures(self) -> Mapping[str, int]:
        """How often each callback and metric raised that did, such as `callback 'bell'`; and `panels`."""

    @property
    def drawn(self) -> Mapping[str, Sequence[Tensor]]:
        """What the panels last showed, and the signals of the directions, by their text: float `[C, H, W]` in `[-1, 1]`
        on the CPU, one for each fixed sample; by averaged weights (EMA) where there are some."""

    def compute(self, signal: str, given: Mapping[str, Sequence[Tensor]]) -> Sequence[Tensor]:
        """A signal of each fixed sample, as `drawn` has it, but computed from the values given to other signals.

        It shows what depends on what: `run.compute("rec_a", {"fake_b": rounded})` is what a translation that was
        rounded is translated back to. Training is not touched.

        Args:
            signal: its name.
            given: by the signal's name, pictures as in `drawn`, one for each fixed sample.

        Raises:
            UsageError: networks are in parts, and this is not called from `images_drawn`.
        """

    def diagnose(self, diagnosis: Diagnosis) -> None:
        """Say that something goes wrong: on the terminal, in TensorBoard, and in `run.json`. Each name is told once."""

    def resume_command(self, *more: str) -> str:
        """The command that goes on with this run: `run.resume_command("--accept-changes", "run.precision=fp32")`."""

    def scaled_rates(self, players: Collection[str], factor: float) -> list[str]:
        """Overrides that scale learning rates of players, for `resume_command`; none for rates that are schedules."""


class Callback:
    """Sees a run's events. Override what you need; the order of `callbacks:` is the order of calls."""

    def run_started(self, run: Run) -> None:
        """Everything is built and, on resume, loaded; no step has been taken in this process."""

    def step_ended(self, run: Run) -> None:
        """A step is done. Called at every step: be quick and do not synchronise the device."""

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        """Every `run.log_every` steps: the means of all scalars since the last time, by TensorBoard tag."""

    def distributions_read(self, run: Run, distributions: Mapping[str, Tensor]) -> None:
        """Every `run.images_every` steps: all the values behind some means of this step, such as verdicts, by tag."""

    def images_drawn(self, run: Run, panels: Mapping[str, Tensor]) -> None:
        """Labelled panels of the fixed validation images were drawn: uint8 `[3, H, W]`, by name, such as `a2b`.

        `run.drawn` has the values themselves.
        """

    def metrics_computed(self, run: Run, figures: Mapping[str, float]) -> None:
        """The recipe's metrics were computed over the validation set."""

    def checkpoint_saved(self, run: Run, path: str) -> None:
        """A checkpoint is whole and listed."""

    def diagnosed(self, run: Run, diagnosis: Diagnosis) -> None:
        """A callback found something wrong, and said so with `run.diagnose`."""

    def run_ended(self, run: Run, status: str) -> None:
        """The run is over: `status` is `finished`, `interrupted` or `failed`."""
