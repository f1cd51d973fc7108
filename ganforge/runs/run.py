"""A run: one training with its folder, from the first step to the last, or from a checkpoint on."""

from __future__ import annotations

import dataclasses
import signal
import time
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganforge.api.callbacks import Callback, Diagnosis
from ganforge.api.context import Progress
from ganforge.core.machine import machine, now, versions
from ganforge.errors import BadFile, EnvironmentFault, GanforgeError, RecipeError, TrainingFailed, UsageError
from ganforge.failures.blame import blame
from ganforge.failures.words import words
from ganforge.plugins.registry import Registry
from ganforge.ranks import ALONE, PeerLost, World
from ganforge.ranks.agreeing import agree, agree_on_data
from ganforge.ranks.device import Precision, choose_device
from ganforge.ranks.division import divide, divided, length
from ganforge.ranks.sync_batch_norm import synchronise
from ganforge.recipe.building import build
from ganforge.recipe.model import Recipe
from ganforge.recipe.yaml_writing import dump
from ganforge.rehearsal.directions import directions
from ganforge.rehearsal.dry_run import DryRun
from ganforge.rehearsal.known_plans import planned
from ganforge.rehearsal.lazy import create_lazy_parameters
from ganforge.rehearsal.sample_checks import looked_at, promise_of
from ganforge.runs.advice import after_bad_loss, scaled_rates
from ganforge.runs.best import Best
from ganforge.runs.checkpoint.files import (
    Checkpoint,
    checkpoints,
    clean,
    load_checkpoint,
    prune,
    save_checkpoint,
    step_of,
)
from ganforge.runs.checkpoint.saving import capture, put_back, write_parts
from ganforge.runs.fingerprint import fingerprint, in_words
from ganforge.runs.histories import history, keep_recipe, optimizer_options
from ganforge.runs.observers import FAILED, Observers
from ganforge.runs.pace import Pace
from ganforge.runs.part_errors import bad_file_met, explained
from ganforge.runs.resume_checks import Change, begun_recipe, check_samples, recipe_changes, resume_command
from ganforge.runs.run_folder import RunFolder
from ganforge.runs.state_checks import check_states
from ganforge.runs.stopping import Stopping
from ganforge.step.batch import Batch
from ganforge.step.cast import build_cast, prepare
from ganforge.training.data import prepare_data, training_samples, validation_samples
from ganforge.training.levers.choosing import choose_levers
from ganforge.training.levers.settling import Settled, settled, with_precision
from ganforge.training.levers.trials import Tell
from ganforge.training.loader import Loader, count_steps
from ganforge.training.rank_drift import drifted
from ganforge.training.readings import readings
from ganforge.training.recording import CudaGraphs
from ganforge.training.trainer import Trainer
from ganforge.training.validation import Validation

DEFAULT_CALLBACKS = ("progress", "tensorboard", "panels", "doctor")


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
        self.world = world
        """The ranks that compute it together."""
        self.division = divide(recipe, world.size, world.rank, folder.record.get("lanes"))
        """How the samples of a step are divided among them."""
        self.recipe = recipe = divided(recipe, self.division)
        self._record = folder
        self.folder = folder.path
        """Where the run writes."""
        world.in_turn(lambda: prepare(recipe))
        self.plan = plan or planned(recipe)
        """Shapes, forwards and costs of one step, from fake tensors."""
        self.device = choose_device(recipe.run.device, world)
        """Where it computes."""
        agree(world, {"device": {"type": self.device.type}})
        world.in_turn(lambda: prepare_data(recipe))
        samples = training_samples(recipe)
        with blame("the training samples cannot be counted", recipe.data):
            agree_on_data(world, recipe.dataset, len(samples))
            beginning = self._beginning(count_steps(samples, self.division))
        self.choice = self._choose(beginning, tell)
        """What the recipe leaves to the machine, and why it is what it is."""
        self.recipe = recipe = with_precision(recipe, self.choice.precision)
        self.settled = self.choice.levers
        """The levers that make it fast, each true or false."""
        self.levers = choose_levers(recipe, self.plan, self.device, self.settled, self.division)
        """What they come to for this recipe."""
        precision = Precision(recipe.run.precision, self.device, self.levers.channels_last)
        precision.set_up(recipe.run.deterministic)
        workers, seed, said = recipe.loader.workers, recipe.run.seed, promise_of(recipe)
        self.loader = Loader(samples, self.division, workers, seed, precision, said, recipe.data)
        cast = build_cast(recipe, precision.place)
        if recipe.run.sync_batch_norm and world.size > 1:
            for network in cast.networks.values():
                synchronise(network)
        if self.plan.lazy:
            create_lazy_parameters(recipe, cast, precision)
        for module in cast.modules:  # some draw without the seed, or round otherwise on another host
            world.copy_first([*module.parameters(), *module.buffers()])
        self.trainer = Trainer(recipe, cast, precision, beginning, self.levers, self.division, world)
        if self.levers.graphs:
            self.trainer.record(CudaGraphs())
        self.directions = directions(recipe, self.plan.shapes)
        """What is translated into what, or made from noise, and who judges it."""
        with blame("the validation samples are not as they should be", recipe.data):
            held_out = looked_at(validation_samples(recipe), promise_of(recipe, validation=True))
        self.validation = Validation(
            self.trainer.program,
            precision,
            samples if held_out is None else held_out,
            self.directions,
            self.trainer.averages,
            self.trainer.twins,
            lambda: self.trainer.progress,
        )
        self.trainer.bad_losses.advice = (
            f"for example: {self.resume_command('--accept-changes', *after_bad_loss(recipe))}"
        )
        self.trainer.lanes.seed()
        self._saved: int | None = None
        """The step of the newest checkpoint."""
        self.resumed_at: int | None = None
        """The step that a resumed run went on from."""
        self.changes: tuple[Change, ...] = ()
        """What a resumed run does otherwise from there on."""
        self.figures: dict[str, float] = {}
        """The latest metrics, by name."""
        self.best = Best(recipe)
        """The best metrics so far; their checkpoints are kept."""
        self.diagnoses: dict[str, Diagnosis] = {}
        """What callbacks found wrong so far, by name."""
        self.status = "running"
        self._stopping = Stopping(world)
        named = _build_callbacks(recipe, registry) if world.leads else {}
        self.callbacks = list(named.values())
        self._observers = Observers(self, named, _teller(named, registry))
        self._pace = Pace(self.plan, precision, self.division.accumulate * len(self.division.mine))
        self._unseen: list[str] = []
        """What a resumed run has still to show of the step that it goes on from."""

    # What callbacks read

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
    def drawn(self) -> Mapping[str, Sequence[Tensor]]:
        """What the panels last showed, and the signals of the directions, by their text: float `[C, H, W]` in `[-1, 1]`
        on the CPU, one for each fixed sample; by averaged weights (EMA) where there are some."""
        return self.validation.drawn

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
        if self.trainer.sharding and not self.trainer.sharding.lent:
            raise UsageError(
                f"networks are in parts ({', '.join(self.trainer.sharding.networks)}), and no rank can call one alone\n"
                "  call run.compute from images_drawn, where the first rank has them whole; or leave run.shard out"
            )
        return self.validation.compute(signal, given)

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

    def _beginning(self, steps_per_epoch: int) -> Progress:
        return Progress(0, steps_per_epoch, length(self.recipe, steps_per_epoch))

    def _levers_before(self) -> Mapping[str, bool]:
        """What an interrupted run had settled, if it computed here: on another device other levers help."""
        record = self._record.record
        then, now = record.get("machine", {}), machine(self.device)
        here = all(then.get(key, now[key]) == now[key] for key in ("device", "processor")) and "device" in then
        return record.get("levers", {}) if here else {}

    def _choose(self, beginning: Progress, tell: Tell) -> Settled:
        """What is left to the machine: the first rank tries, and all do as it found."""

        def choose() -> dict[str, Any]:
            steps, before = beginning.total_steps, self._levers_before()
            return settled(self.recipe, self.plan, self.device, self.division, steps, before, tell).record()

        return Settled.read(self.world.from_first(self.world.first_alone(choose)))

    # Training

    def start(self, distributions: Sequence[str] = ()) -> None:
        """Write what the run is into its folder."""
        self._record.write_recipe(dump(self.recipe.node))
        self._record.note(
            recipe=self.recipe.name,
            started=now(),
            step=0,
            lanes=self.division.lanes,
            global_batch=self.division.global_batch,
            samples=self.loader.count,
            data=self._fingerprint(),
            total_steps=self.total_steps,
            levers=self.settled,
            settled=self.choice.record(),
            **self._circumstances(distributions),
        )
        self._record.note(code_history=history(self._record.record, 0))

    def resume(self, distributions: Sequence[str] = ()) -> bool:
        """Go back to the newest whole checkpoint, if there is one, and to the number of threads that it was made with.

        Raises:
            EnvironmentFault: it is damaged.
        """
        if self.world.leads:
            clean(self._record.checkpoints)
        found = self.world.from_first([str(path) for path in checkpoints(self._record.checkpoints)])
        if not found:
            return False
        newest = Path(found[-1])
        changed = check_samples(self._record, self.loader.count, self.division)
        changed += self._recipe_changes()
        data, before = self._fingerprint(), self.record.get("data")
        if data and before and data != before:
            changed.append(Change("data.files", in_words(before), in_words(data)))
        checkpoint = self.world.first_alone(lambda: load_checkpoint(newest))
        known = checkpoint.training.get("best", self.record.get("best", {})) if checkpoint else {}
        try:
            put_back(checkpoint, self.trainer)
        except RuntimeError as error:
            raise EnvironmentFault(
                f"the networks of {newest} are not those of the recipe: {str(error).splitlines()[-1].strip()}\n"
                f"  the run was made with {self.record.get('versions')}; install those versions to go on"
            ) from error
        self.resumed_at = self._saved = step_of(newest)
        self._take_changes([*changed, *(Change(**entry) for entry in self._record.changes)])
        self.best.restore(self.world.from_first(known), self.resumed_at)
        self.diagnoses = {
            entry["name"]: Diagnosis(*(entry[key] for key in ("name", "message", "cure", "link")))
            for entry in self.record.get("diagnoses", [])
            if not entry["name"].endswith(FAILED)  # what fails again is told again
        }
        saved_here = self.record.get("checkpoint") == newest.name
        self._unseen = self.world.from_first(self.record.get("unseen", []) if saved_here else [])
        if self.step >= self.total_steps and not self._unseen and not self.trainer.bad_losses.ended_badly():
            self.status = "finished"
            self._record.note(status=self.status, step=self.step)  # it may have been killed before it said so
            return True
        # Sums over another number of threads would differ in their last bits.
        before = self.record.get("machine", {})
        if before.get("ranks", 1) == self.world.size:  # others share the cores in another way
            torch.set_num_threads(before.get("threads", torch.get_num_threads()))
        self._note_changes()
        self._record.write_recipe(dump(self.recipe.node))  # a new length holds for the next resume too
        self._record.note(
            samples=self.loader.count,
            data=data,
            global_batch=self.division.global_batch,
            total_steps=self.total_steps,
            levers=self.settled,
            **self._circumstances(distributions),
        )
        self._record.note(code_history=history(self._record.record, self.resumed_at))
        return True

    def _recipe_changes(self) -> list[Change]:
        """Where the recipe is not the one in the folder."""
        found = recipe_changes(begun_recipe(self._record), self.recipe.node) if self.world.leads else []
        return [Change(*entry) for entry in self.world.from_first([dataclasses.astuple(change) for change in found])]

    def _fingerprint(self) -> dict[str, Any]:
        """That of the data, as the first rank finds them: the others have the same."""
        return self.world.from_first(self.world.first_alone(lambda: fingerprint(self.recipe.dataset)))

    def _take_changes(self, changed: Sequence[Change]) -> None:
        """Let what has changed hold from here on."""
        self.changes = tuple(changed)
        for name, options in optimizer_options(changed).items():
            if name in self.trainer.players:
                self.trainer.players[name].take_options(options)
        progress = self.trainer.progress
        total = length(self.recipe, progress.steps_per_epoch, progress.ahead)
        self.trainer.progress = dataclasses.replace(progress, total_steps=total)

    def _note_changes(self) -> None:
        """Keep the recipe that held until now, and say from which step on something holds."""
        assert self.resumed_at is not None
        if self.changes and self._record.writes:
            keep_recipe(self._record, self.resumed_at)
        noted = [dataclasses.asdict(change) for change in self.changes]
        before = [e | {"step": min(e["step"], self.resumed_at)} for e in self.record.get("changes", [])]
        if noted or before:
            self._record.note(changes=[*before, *({"step": self.resumed_at, **entry} for entry in noted)])
        if self.trainer.progress.ahead or "ahead" in self.record:
            self._record.note(ahead=self.trainer.progress.ahead)

    def _circumstances(self, distributions: Sequence[str]) -> dict[str, Any]:
        found = versions(list(distributions))
        ranks = {"ranks": self.world.size} if self.world.size > 1 else {}
        well = {"status": "running", "error": None, "traceback": None}
        return {**well, "machine": machine(self.device) | ranks, "versions": found}

    def train(self) -> str:
        """Take all the steps that are left. Returns `finished` or `interrupted`.

        Ctrl-C and SIGTERM finish the step, save, and return; a second Ctrl-C stops at once.

        Raises:
            RecipeError: a state cannot be saved, or a metric cannot judge the validation samples.
            TrainingFailed: a loss went wrong, or a part raised.
        """
        try:
            with self._stopping.listening():
                check_states(self.trainer)
                self._emit("run_started")
                self._rehearse_metrics()
                self._steps()
            if self.step >= self.total_steps:
                self.trainer.check_scales()
                self.trainer.bad_losses.check_end(self.step)
            self.status = "finished" if self.step >= self.total_steps else "interrupted"
            self._note_bad_files()
            self._record.note(status=self.status, step=self.step, ended=now(), metrics=self.figures)
            if self.recipe.run.strict:
                self._emit("run_ended", self.status)
        except BaseException as raised:
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
            raise explained(error, self.step, self.folder / "run.json", self._saved) from error
        if not self.recipe.run.strict:
            self._emit("run_ended", self.status)
        return self.status

    def _rehearse_metrics(self) -> None:
        """What cannot be measured should be known before the first step, not after the last one."""
        if self.recipe.metrics:
            with self.trainer.whole():
                self.world.first_alone(self.validation.rehearse_metrics)

    def _note_bad_files(self) -> None:
        """Write down the files in whose place others were shown, on all ranks, and before it was resumed."""
        if self.recipe.loader.on_bad_file == "skip":
            told = chain.from_iterable(self.world.gather(list(self.loader.bad_files)))
            self._record.note(bad_files=sorted({*self.record.get("bad_files", []), *told}))

    @property
    def stop_signal(self) -> signal.Signals | None:
        """The signal that asked the run to end early."""
        return self._stopping.signal

    def _steps(self) -> None:
        with closing(self.loader.batches(self.step + self.trainer.progress.ahead)) as batches:
            self._take(batches)
        if self.step < self.total_steps:  # all ranks were asked to stop
            self._save()

    def _take(self, batches: Iterator[Batch]) -> None:
        settings = self.recipe.run
        self._watch(self._unseen)
        if self.step in (0, self.record.get("ancestor", {}).get("step")) and self.validation.columns:
            self._draw()
        if self.step == 0 and self.recipe.metrics and settings.metrics_every:
            self._measure()  # what training starts from
        self.trainer.stopwatch.restart()
        while self.step < self.total_steps and not self._stopping.asked():
            last = self.step + 1 == self.total_steps
            waited = 0.0
            micro = []
            for _ in range(settings.accumulate * len(self.division.mine)):
                micro.append(self._next(batches))
                waited += self.loader.wait_s
            began = time.perf_counter()
            self.trainer.step(micro, log=self._logs(self.step + 1), examine=self._examines(self.step + 1))
            self._look_at_pace(time.perf_counter() - began)
            self.trainer.stopwatch.add("seconds/data_wait", waited)
            self.trainer.stopwatch.steps += 1
            self._emit("step_ended")
            self._periodic(last)

    def _look_at_pace(self, seconds: float) -> None:
        """Whether the first steps are far slower than they would be in another precision."""
        if self._pace.took(seconds):
            with self.trainer.stopwatch.paused():
                slow = self._pace.judge(self.resume_command("--accept-changes", "run.precision=fp32"))
            if slow:
                self.diagnose(slow)

    def _periodic(self, last: bool) -> None:
        """What happens every so many steps. It is saved first: no observer can cost what was trained."""
        settings = self.recipe.run
        if self._logs(self.step):
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
                self._save(due)
        self._watch(due)

    def _watch(self, jobs: Sequence[str]) -> None:
        """Draw the panels, compute the metrics. A run that is killed meanwhile does it when it is resumed."""
        for job in jobs:
            with self.trainer.stopwatch.paused():
                self._draw() if job == "panels" else self._measure()
        if self.record.get("unseen"):
            self._record.note(unseen=[])

    def _next(self, batches: Iterator[Batch]) -> Batch:
        """The next batch. If there is none, no step has begun that would be half taken: what was trained is saved."""
        try:
            return next(batches)
        except Exception:
            if self.step and self.world.size == 1:  # others would not save with it
                with suppress(Exception):  # why there is none is to be told
                    self._save()
            raise

    def _due(self, every: int | None) -> bool:
        return every is not None and self.step % every == 0

    def _logs(self, step: int) -> bool:
        """Whether statistics are read after this many steps: the first and the last are always of interest."""
        return step % self.recipe.run.log_every == 0 or step in (1, self.total_steps)

    def _examines(self, step: int) -> bool:
        """Whether a step is looked into: it takes about twice as long."""
        return step % self.recipe.run.images_every == 0 or step in (1, self.total_steps)

    def _read_statistics(self) -> None:
        self.trainer.bad_losses.check()
        self.trainer.check_scales()
        scalars = readings(self.trainer, self.images_per_step)
        self._record.note(step=self.step, images_per_second=round(scalars["speed/images_per_second"], 2))
        self._emit("statistics_read", scalars)

    def _draw(self) -> None:
        self.trainer.bad_losses.check()
        with self.trainer.whole():
            self.world.first_alone(self._show_panels)

    def _show_panels(self) -> None:
        panels = None
        with self._observers.apart("panels", "cannot be drawn") if self.step else nullcontext():
            panels = self.validation.panels()
        if panels is not None:
            self._emit("images_drawn", panels)

    def _measure(self) -> None:
        self.trainer.bad_losses.check()
        with self.trainer.whole():
            self.figures = self.world.from_first(self.world.first_alone(self._judge))
        if self.step and self.best.note(self.figures, self.step):
            # Noted first: a resumed run forgets what was not saved, and cannot know what was saved and not noted.
            self._record.note(best=self.best.record())
            self._save()
        self._emit("metrics_computed", self.figures)

    def _judge(self) -> dict[str, float]:
        """The metrics, but those that fail."""
        if not self.recipe.run.strict:
            return self.validation.metrics(failed=self._observers.metric_failed)
        try:
            return self.validation.metrics()
        except RecipeError as error:
            raise TrainingFailed(f"step {self.step}: {error}") from error

    def _save(self, unseen: Sequence[str] = ()) -> None:
        """Save, if this step is not saved yet; `unseen` is what shows it, and is still to be done."""
        self.trainer.bad_losses.check()
        if self._saved == self.step:
            self.world.first_alone(self._prune)
            return
        checkpoint = capture(self.trainer)
        if apart := drifted(self.trainer):
            self.diagnose(apart)
        write_parts(self.trainer, self._record.checkpoints)
        self.world.first_alone(lambda: self._write(checkpoint, unseen))
        self._saved = self.step

    def _write(self, checkpoint: Checkpoint | None, unseen: Sequence[str]) -> None:
        assert checkpoint is not None
        checkpoint.training["best"] = self.best.record()
        path = save_checkpoint(self._record.checkpoints, self.step, checkpoint)
        self._prune()
        self._record.note(step=self.step, checkpoint=path.name, unseen=list(unseen))
        self._emit("checkpoint_saved", str(path))

    def _prune(self) -> None:
        settings = self.recipe.run
        prune(self._record.checkpoints, settings.keep_last, settings.keep_every, self.best.steps)

    def _emit(self, event: str, *details: Any) -> None:
        self._observers.tell(self.callbacks, event, *details)


def _build_callbacks(recipe: Recipe, registry: Registry) -> dict[str, Callback]:
    """The built-in callbacks, unless the recipe replaces one or sets it to null, and then the recipe's own."""
    names = [name for name in DEFAULT_CALLBACKS if name not in recipe.callbacks]
    defaults = {name: registry.find("callbacks", f"ganforge.{name}").factory() for name in names}
    return defaults | {name: build(use) for name, use in recipe.callbacks.items() if use is not None}


def _teller(named: Mapping[str, Callback], registry: Registry) -> Callback | None:
    """The callback that shows diagnoses on the terminal: the built-in one, if it is there."""
    kind = registry.find("callbacks", "ganforge.progress").factory
    return next((callback for callback in named.values() if type(callback) is kind), None)
