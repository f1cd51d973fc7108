"""Judging what a run has learnt, by metrics over its validation samples: the figures, and all that they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ganforge.api.context import Progress
from ganforge.api.datasets import Sample, Samples
from ganforge.errors import UsageError
from ganforge.evaluation.card import Card, add_figures, make_card
from ganforge.evaluation.requested_metrics import Asked, Wanted
from ganforge.failures.blame import blame
from ganforge.inference.trained_run import Trained, open_trained
from ganforge.plugins.registry import Registry
from ganforge.recipe import open_recipe
from ganforge.runs.checkpoint.files import checkpoints, step_of
from ganforge.runs.run_folder import open_run_folder
from ganforge.step.cast import prepare
from ganforge.training.data import prepare_data, training_samples, validation_samples
from ganforge.training.validation import Validation

__all__ = ["Asked", "evaluate"]

Watch = Callable[[str, int, int], None]
"""Told of the progress: what is judged, how many samples of how many."""


def evaluate(
    run: Path,
    registry: Registry,
    asked: Asked,
    *,
    overrides: Sequence[str] = (),
    every_checkpoint: bool = False,
    best: str | None = None,
    device: str = "auto",
    averaged: bool = True,
    precision: str = "auto",
    watch: Watch = lambda *_: None,
) -> Card:
    """Judge a run's last checkpoint and those of its best figures, or one that is given: what `evaluation.json` has.

    Args:
        run: the run's folder, or a checkpoint's.
        asked: metrics beside those of the recipe.
        overrides: of the recipe, such as `data.root=elsewhere`.
        best: judge that which was the best of this metric or figure, alone.
        averaged: judge the moving average (EMA) where there is one.
        precision: what the networks compute in, as `open_trained` has it.

    Raises:
        UsageError: no metric is asked for, or one that does not fit.
        EnvironmentFault: data, packages or weights are missing.
    """
    chosen = _chosen(run, every_checkpoint, best)
    entries, samples, held_out = _wanted(run, overrides, registry, asked)
    figures, card = list[tuple[int, dict[str, float]]](), Card()
    for checkpoint in chosen:  # one after the other in memory
        trained = open_trained(
            checkpoint, registry, overrides=entries, device=device, averaged=averaged, precision=precision
        )
        with blame("the samples cannot be counted", trained.recipe.data):
            counter = _Counter(len(samples), trained.checkpoint.name, watch, first=not card)
            validation = _validation(trained, samples)
        figures.append((trained.step, validation.metrics(counter)))
        card = card or make_card(trained, validation, registry, held_out, counter.digest.hexdigest())
    add_figures(card, trained, figures, step_of(checkpoints(trained.folder / "checkpoints")[-1]))
    return card


def _wanted(
    run: Path, overrides: Sequence[str], registry: Registry, asked: Asked
) -> tuple[tuple[str, ...], Samples, bool]:
    """The overrides that add the metrics that are asked for to the run's recipe; the samples, and whether they are held
    out of training."""
    folder = run.resolve().parent.parent if (run / "manifest.json").is_file() else run
    wanted = Wanted(folder, overrides, registry, asked)
    wanted.prepare()
    entries = tuple(wanted.entries())
    recipe = open_recipe(str(folder), entries, registry)
    if not recipe.metrics:
        raise UsageError(
            f"{recipe.name} has no metrics, and none is asked for",
            f"give --metric, with one of: {', '.join(part.name for part in registry.of('metrics'))}",
        )
    prepare(recipe)
    prepare_data(recipe)
    held_out = validation_samples(recipe)
    return entries, training_samples(recipe) if held_out is None else held_out, held_out is not None


def _chosen(run: Path, every_checkpoint: bool, best: str | None) -> list[Path]:
    """The checkpoints to judge, the last one first."""
    found = checkpoints(run / "checkpoints")
    if best is None and not found:
        return [run]  # a checkpoint, or what `open_trained` refuses
    if best is None and every_checkpoint:
        return found[::-1]
    record = open_run_folder(run).record.get("best", {})
    by_step = {step_of(path): path for path in found}
    kept = {figure: entry["step"] for figure, entry in record.items() if entry["step"] in by_step}
    if best is None:
        steps = {*kept.values(), step_of(found[-1])}
        return [by_step[step] for step in sorted(steps, reverse=True)]
    steps = {step for figure, step in kept.items() if best in (figure, figure.partition("/")[0])}
    if len(steps) != 1:
        fault = "has several figures" if steps else "has no checkpoint that was kept for it"
        raise UsageError(f"'{best}' {fault} in {run}; such are: {', '.join(kept) or 'none'}")
    return [by_step[step] for step in steps]


def _validation(trained: Trained, samples: Samples) -> Validation:
    """What judges a checkpoint, as the run did when it was saved."""
    record, recipe = open_run_folder(trained.folder).record, trained.recipe
    batch = record.get("global_batch", recipe.loader.batch_size * recipe.run.accumulate)
    epoch = max(1, record.get("samples", len(samples)) // batch)
    progress = Progress(trained.step, epoch, max(1, record.get("total_steps", trained.step)), record.get("ahead", 0))
    return Validation(trained.program(), trained.precision, samples, (), progress=lambda: progress)


class _Counter:
    """Counts samples as they are judged; of the first checkpoint's it takes the fingerprint."""

    def __init__(self, total: int, what: str, watch: Watch, first: bool) -> None:
        self.total, self.what, self.watch, self.first, self.done = total, what, watch, first, 0
        self.digest: Any = hashlib.sha256()

    def __call__(self, samples: list[Sample]) -> None:
        self.done += len(samples)
        self.watch(self.what, self.done, self.total)
        for sample in samples if self.first else ():
            for name, field in sorted(sample.items()):
                self.digest.update(f"{name} {list(field.shape)} {field.dtype}".encode())
                self.digest.update(field.cpu().contiguous().numpy().tobytes())
