"""What watches a training and must not end it: callbacks, metrics and panels."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from ganforge.api.callbacks import Callback, Diagnosis, Run
from ganforge.errors import GanforgeError, TrainingFailed
from ganforge.failures.blame import blame, described, fault_of
from ganforge.failures.words import said
from ganforge.plugins.registry import Registry
from ganforge.ranks.failure_reports import PeerLost
from ganforge.recipe.building import build
from ganforge.recipe.model import Recipe

DEFAULT_CALLBACKS = ("progress", "tensorboard", "panels", "doctor")
FAILED = "_failed"
"""The ending of names of diagnoses that are about what watches a run."""
LINK = "docs/recipes.md#metrics-and-callbacks"


class Observed(Run, Protocol):
    """A run that keeps what went wrong in its record."""

    def note_failure(self, who: str, told: Mapping[str, Any]) -> None:
        """Write into `run.json` what a callback or metric raised."""


class Observers:
    """The callbacks of a run, and what went wrong in whatever watches it.

    Args:
        teller: which of them shows diagnoses on the terminal, if one does.
    """

    def __init__(self, run: Observed, named: dict[str, Callback], teller: Callback | None) -> None:
        self.run, self.teller = run, teller
        self.names = {id(callback): name for name, callback in named.items()}
        self.strict = run.recipe.run.strict
        """Whether an error of what watches the run ends it."""
        self.failures: dict[str, int] = {}
        """How often each metric, callback or the panels raised: `metric 'kid'`, `callback 'bell'`, `panels`."""

    def tell(self, callbacks: list[Callback], event: str, *details: Any) -> None:
        """Tell callbacks of an event."""
        refusing = event == "run_started"  # nothing is lost yet
        for callback in callbacks:
            name = self.names.get(id(callback), type(callback).__name__)
            with self.apart(f"callback '{name}'", f"raised in {event}", callback, refusing), blame(""):
                getattr(callback, event)(self.run, *details)

    @contextmanager
    def apart(self, who: str, what: str, callback: Callback | None = None, refusing: bool = False) -> Iterator[None]:
        """What is raised within is told once, and the training goes on; with `run.strict` it ends it.

        TrainingFailed passes: it is how a callback ends a run. Where it may refuse to work, so do all our errors.
        """
        try:
            yield
        except (PeerLost, TrainingFailed):
            raise
        except Exception as error:
            if self.strict or (refusing and isinstance(error, GanforgeError)):
                error.add_note(f"{who} {what}")
                raise
            self.failed(who, what, error, callback)

    def metric_failed(self, name: str, error: Exception) -> None:
        """Tell of a metric that could not be computed; TrainingFailed is raised again."""
        if isinstance(error, PeerLost | TrainingFailed):
            raise error
        self.failed(f"metric '{name}'", "cannot be computed", error)

    def failed(self, who: str, what: str, error: Exception, callback: Callback | None = None) -> None:
        """Tell of an error, once of each that raises, and count it."""
        self.failures[who] = self.failures.get(who, 0) + 1
        if self.failures[who] > 1:
            return
        if callback is not None and callback is self.teller:
            self.teller = None
        diagnosis = Diagnosis(
            re.sub(r"\W+", "_", who).strip("_") + FAILED,
            f"{who} {what}: {described(error)}",
            "The training goes on; run.strict=true would end it. The whole traceback is in run.json, under observers.",
            LINK,
        )
        told = {"step": self.run.step, "error": said(error), "traceback": fault_of(error).report}
        with suppress(OSError):  # a full disk is told when something is saved
            self.run.note_failure(who, told)
            self.run.diagnose(diagnosis)
        if self.teller is None:
            warnings.warn(f"step {self.run.step}: {diagnosis.message}\n  {diagnosis.cure}", stacklevel=2)


def build_callbacks(recipe: Recipe, registry: Registry) -> dict[str, Callback]:
    """The built-in callbacks, unless the recipe replaces one or sets it to null, and then the recipe's own."""
    names = [name for name in DEFAULT_CALLBACKS if name not in recipe.callbacks]
    defaults = {name: registry.find("callbacks", f"ganforge.{name}").factory() for name in names}
    return defaults | {name: build(use) for name, use in recipe.callbacks.items() if use is not None}


def teller_among(named: Mapping[str, Callback], registry: Registry) -> Callback | None:
    """The callback that shows diagnoses on the terminal: the built-in one, if it is there."""
    kind = registry.find("callbacks", "ganforge.progress").factory
    return next((callback for callback in named.values() if type(callback) is kind), None)
