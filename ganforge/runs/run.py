"""A run: one training with its folder, from the first step to the last, or from a checkpoint on."""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain
from typing import Any

from torch import Tensor

from ganforge.api.callbacks import Diagnosis
from ganforge.core.machine import machine, now, versions
from ganforge.errors import BadFile, GanforgeError
from ganforge.failures.words import words
from ganforge.plugins.registry import Registry
from ganforge.ranks import ALONE, PeerLost, World
from ganforge.recipe.model import Recipe
from ganforge.recipe.yaml_writing import dump
from ganforge.rehearsal.dry_run import DryRun
from ganforge.runs.best import Best
from ganforge.runs.checkpoint.files import step_of
from ganforge.runs.checkpoint.keeper import Keeper
from ganforge.runs.fingerprint import fingerprint_of
from ganforge.runs.going_on import (
    as_many_threads_as,
    changes_since,
    newest_checkpoint,
    note_changes,
    put_back_from,
    take_changes,
    told_before,
)
from ganforge.runs.histories import history
from ganforge.runs.observers import Observers, build_callbacks, teller_among
from ganforge.runs.pace import Pace
from ganforge.runs.part_errors import after_bad_loss, bad_file_met, explained, scaled_rates
from ganforge.runs.resume_checks import Change, resume_command
from ganforge.runs.run_folder import RunFolder
from ganforge.runs.set_up import set_up
from ganforge.runs.shown import Shown
from ganforge.runs.state_checks import check_states
from ganforge.runs.stopping import Stopping
from ganforge.step.batch import Batch
from ganforge.training.levers.trials import Tell
from ganforge.training.readings import readings


class Run:
    """One training. Callbacks are handed it; what they may read is documented, the rest is the engine's."""

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        registry: Registry,
        plan: DryRun | None = None,
        world: World = ALONE,
        tell: Tell = lambda _: None,
    ) -> None:
        built = set_up(recipe, folder, plan, world, tell)
        self.world, self.recipe, self.plan, self.device = world, built.recipe, built.plan, built.device
        self.division, self.choice, self.levers = built.division, built.choice, built.levers
        self.loader, self.trainer, self.validation = built.loader, built.trainer, built.validation
        self.directions = built.directions
        self._record, self.folder = folder, folder.path
        self.trainer.bad_losses.advice = (
            f"for example: {self.resume_command('--accept-changes', *after_bad_loss(self.recipe))}"
        )
        self.resumed_at: int | None = None
        """The step that a resumed run went on from."""
        self.changes: tuple[Change, ...] = ()
        """What a resumed run does otherwise from there on."""
        self.best = Best(self.recipe)
        """The best metrics so far; their checkpoints are kept."""
        self.diagnoses: dict[str, Diagnosis] = {}
        """What callbacks found wrong so far, by name."""
        self.status = "running"
        self.stopping = Stopping(world)
        """Whether, and by which signal, it is asked to end early."""
        named = build_callbacks(self.recipe, registry) if world.leads else {}
        self.callbacks = list(named.values())
        self._keeper = Keeper(self.trainer, folder, self.best, self.diagnose, self._emit)
        self._observers = Observers(self, named, teller_among(named, registry))
        self._shown = Shown(self.trainer, self.validation, self._observers, self.best, self._keeper, self._emit)
        self._pace = Pace(self.plan, self.trainer.precision, self.division.accumulate * len(self.division.mine))
        self._unseen: list[str] = []
        """What a resumed run has still to show of the step that it goes on from."""

    @property
    def step(self) -> int:
        """Steps done."""
        return self.trainer.progress.step

    @property
    def total_steps(self) -> int:
        """Steps that the run will have when it ends."""
        return self.trainer.progress.total_steps

    @property
    def steps_per_epoch(self) -> int:
        """Steps that one pass through the data takes."""
        return self.trainer.progress.steps_per_epoch

    @property
    def images_per_step(self) -> int:
        """Training samples that a step sees, on all ranks together."""
        return self.division.global_batch

    @property
    def figures(self) -> Mapping[str, float]:
        """The latest metrics, by name."""
        return self._shown.figures

    @property
    def drawn(self) -> Mapping[str, Sequence[Tensor]]:
        """What the panels last showed, and the signals of the directions, by their text."""
        return self.validation.drawn

    def compute(self, signal: str, given: Mapping[str, Sequence[Tensor]]) -> Sequence[Tensor]:
        """A signal of each fixed sample, computed from the values given to other signals: see `ganforge.Run`."""
        return self._shown.compute(signal, given)

    def diagnose(self, diagnosis: Diagnosis) -> None:
        """Say that something goes wrong: on the terminal, in TensorBoard, and in `run.json`. Each name is told once."""
        if diagnosis.name in self.diagnoses:
            return
        self.diagnoses[diagnosis.name] = diagnosis
        told = self.record.get("diagnoses", [])
        self._record.note(diagnoses=[*told, {"step": self.step, **dataclasses.asdict(diagnosis)}])
        self._emit("diagnosed", diagnosis)

    @property
    def failures(self) -> Mapping[str, int]:
        """How often each callback and metric raised that did, such as `callback 'bell'`; and `panels`."""
        return self._observers.failures

    def note_failure(self, who: str, told: Mapping[str, Any]) -> None:
        """Write into `run.json` what a callback or metric raised."""
        self._record.note(observers=self.record.get("observers", {}) | {who: dict(told)})

    @property
    def record(self) -> Mapping[str, Any]:
        """What `run.json` says."""
        return self._record.record

    def resume_command(self, *more: str) -> str:
        """The command that goes on with this run: `run.resume_command("--accept-changes", "run.precision=fp32")`."""
        return resume_command(self.folder, self.record, *more)

    def scaled_rates(self, players: Collection[str], factor: float) -> list[str]:
        """Overrides that scale learning rates of players, for `resume_command`; none for rates that are schedules."""
        return scaled_rates(self.recipe, players, factor)

    def start(self, distributions: Sequence[str] = ()) -> None:
        """Write what the run is into its folder."""
        lanes, settled = self.division.lanes, self.choice.record()
        begun = {"recipe": self.recipe.name, "started": now(), "step": 0, "lanes": lanes, "settled": settled}
        self._write_down(distributions, fingerprint_of(self.recipe.dataset, self.world), **begun)
        self._record.note(code_history=history(self._record.record, 0))

    def resume(self, distributions: Sequence[str] = ()) -> bool:
        """Go back to the newest whole checkpoint, if there is one, and to the number of threads that it was made with.

        Raises:
            EnvironmentFault: it is damaged.
        """
        newest = newest_checkpoint(self._record, self.world)
        if newest is None:
            return False
        data = fingerprint_of(self.recipe.dataset, self.world)
        changed = changes_since(self._record, self.recipe, self.world, self.loader.count, self.division, data)
        known = put_back_from(newest, self.trainer, self.record)
        self.resumed_at = self._keeper.saved = step_of(newest)
        self.changes = take_changes(changed, self.trainer)
        self.best.restore(known, self.resumed_at)
        self.diagnoses = told_before(self.record)
        saved_here = self.record.get("checkpoint") == newest.name
        self._unseen = self.world.from_first(self.record.get("unseen", []) if saved_here else [])
        if self.step >= self.total_steps and not self._unseen and not self.trainer.bad_losses.ended_badly():
            self.status = "finished"
            self._record.note(status=self.status, step=self.step)  # it may have been killed before it said so
            return True
        as_many_threads_as(self.record, self.world)
        note_changes(self._record, self.changes, self.resumed_at, self.trainer.progress.ahead)
        self._write_down(distributions, data)
        self._record.note(code_history=history(self._record.record, self.resumed_at))
        return True

    def _write_down(self, distributions: Sequence[str], data: Mapping[str, Any], **begun: Any) -> None:
        """What the run is from here on."""
        self._record.write_recipe(dump(self.recipe.node))  # a new length holds for the next resume too
        found = versions(list(distributions))
        ranks = {"ranks": self.world.size} if self.world.size > 1 else {}
        self._record.note(
            **begun,
            samples=self.loader.count,
            data=data,
            global_batch=self.division.global_batch,
            total_steps=self.total_steps,
            levers=self.choice.levers,
            status="running",
            error=None,
            traceback=None,
            machine=machine(self.device) | ranks,
            versions=found,
        )

    def train(self) -> str:
        """Take all the steps that are left. Returns `finished` or `interrupted`.

        Ctrl-C and SIGTERM finish the step, save, and return; a second Ctrl-C stops at once.

        Raises:
            RecipeError: a state cannot be saved, or a metric cannot judge the validation samples.
            TrainingFailed: a loss went wrong, or a part raised.
        """
        try:
            with self.stopping.listening():
                check_states(self.trainer)
                self._emit("run_started")
                self._shown.rehearse_metrics()
                with closing(self.loader.batches(self.step + self.trainer.progress.ahead)) as batches:
                    self._take(batches)
                if self.step < self.total_steps:  # all ranks were asked to stop
                    self._keeper.save()
            if self.step >= self.total_steps:
                self.trainer.check_scales()
                self.trainer.bad_losses.check_end(self.step)
            self.status = "finished" if self.step >= self.total_steps else "interrupted"
            self._note_bad_files()
            figures = {"metrics": dict(self.figures), "better": self.best.ways_of(self.figures)}
            self._record.note(status=self.status, step=self.step, ended=now(), **figures)
            if self.recipe.run.strict:
                self._emit("run_ended", self.status)
        except BaseException as raised:
            self._end_badly(raised)
            raise
        if not self.recipe.run.strict:
            self._emit("run_ended", self.status)
        return self.status

    def _end_badly(self, raised: BaseException) -> None:
        """Write down what ended the run, tell the callbacks, and raise it in words."""
        error = bad_file_met(raised, self.step, self.folder) if isinstance(raised, BadFile) else raised
        self.status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(OSError):  # a full disk must not hide the error
            told = error.traceback if isinstance(error, PeerLost) and error.traceback else traceback.format_exc()
            self._record.note(status=self.status, step=self.step, error=words(error), traceback=told)
        self._observers.strict = False  # all of them are told how it ended, and this error is the one to tell
        with suppress(Exception):
            self._emit("run_ended", self.status)
        if isinstance(error, GanforgeError | KeyboardInterrupt):
            raise error from raised.__cause__
        raise explained(error, self.step, self.folder / "run.json", self._keeper.saved) from error

    def _note_bad_files(self) -> None:
        """Write down the files in whose place others were shown, on all ranks, and before it was resumed."""
        if self.recipe.loader.on_bad_file == "skip":
            told = chain.from_iterable(self.world.gather(list(self.loader.bad_files)))
            self._record.note(bad_files=sorted({*self.record.get("bad_files", []), *told}))

    def _take(self, batches: Iterator[Batch]) -> None:
        settings = self.recipe.run
        self._watch(self._unseen)
        if self.step in (0, self.record.get("ancestor", {}).get("step")) and self.validation.columns:
            self._shown.draw()
        if self.step == 0 and self.recipe.metrics and settings.metrics_every:
            self._shown.measure()  # what training starts from
        self.trainer.stopwatch.restart()
        while self.step < self.total_steps and not self.stopping.asked():
            last = self.step + 1 == self.total_steps
            waited = 0.0
            micro = []
            for _ in range(settings.accumulate * len(self.division.mine)):
                micro.append(self._next(batches))
                waited += self.loader.wait_s
            began = time.perf_counter()
            log, examine = (self._looks(every, self.step + 1) for every in (settings.log_every, settings.images_every))
            self.trainer.step(micro, log=log, examine=examine)
            if slow := self._pace.look(time.perf_counter() - began, self.trainer.stopwatch, self.resume_command):
                self.diagnose(slow)
            self.trainer.stopwatch.add("seconds/data_wait", waited)
            self.trainer.stopwatch.steps += 1
            self._emit("step_ended")
            self._periodic(last)

    def _periodic(self, last: bool) -> None:
        """What happens every so many steps. It is saved first: no observer can cost what was trained."""
        settings = self.recipe.run
        if self._looks(settings.log_every, self.step):
            self._read_statistics()
        if distributions := self.trainer.learner.distributions:
            self._emit("distributions_read", {tag: values.float().cpu() for tag, values in distributions.items()})
        jobs = {
            "panels": bool(self.validation.columns) and (last or self._due(settings.images_every)),
            "metrics": bool(self.recipe.metrics) and (last or self._due(settings.metrics_every)),
        }
        due = [job for job, is_due in jobs.items() if is_due]
        if last or self._due(settings.checkpoint_every):
            with self.trainer.stopwatch.paused():
                self._keeper.save(due)
        self._watch(due)

    def _watch(self, jobs: Sequence[str]) -> None:
        """Draw the panels, compute the metrics. A run that is killed meanwhile does it when it is resumed."""
        for job in jobs:
            with self.trainer.stopwatch.paused():
                self._shown.draw() if job == "panels" else self._shown.measure()
        if self.record.get("unseen"):
            self._record.note(unseen=[])

    def _next(self, batches: Iterator[Batch]) -> Batch:
        """The next batch. If there is none, no step has begun that would be half taken: what was trained is saved."""
        try:
            return next(batches)
        except Exception:
            if self.step and self.world.size == 1:  # others would not save with it
                with suppress(Exception):  # why there is none is to be told
                    self._keeper.save()
            raise

    def _due(self, every: int | None) -> bool:
        return every is not None and self.step % every == 0

    def _looks(self, every: int, step: int) -> bool:
        """Whether this step is looked at: so many, and the first and the last, which are always of interest."""
        return step % every == 0 or step in (1, self.total_steps)

    def _read_statistics(self) -> None:
        self.trainer.bad_losses.check()
        self.trainer.check_scales()
        scalars = readings(self.trainer, self.images_per_step)
        self._record.note(step=self.step, images_per_second=round(scalars["speed/images_per_second"], 2))
        self._emit("statistics_read", scalars)

    def _emit(self, event: str, *details: Any) -> None:
        self._observers.tell(self.callbacks, event, *details)
