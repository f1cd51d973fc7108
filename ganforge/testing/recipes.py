"""A few real steps of a recipe, on real or on made-up data."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ganforge.api.callbacks import Callback
from ganforge.api.callbacks import Run as RunView
from ganforge.plugins.loading import load_plugins
from ganforge.recipe import open_recipe
from ganforge.rehearsal.random_data import RandomData
from ganforge.runs.run import Run
from ganforge.runs.run_folder import RunFolder

SAMPLES = 8


@dataclass
class RecipeRun:
    """What a few steps of a recipe gave."""

    status: str
    """`finished`, or `interrupted`."""
    scalars: dict[str, list[float]] = field(default_factory=dict)
    """What TensorBoard would show, one value a step, by tag: `losses/adv`, `gradients/generators`."""
    metrics: dict[str, float] = field(default_factory=dict)
    networks: dict[str, torch.nn.Module] = field(default_factory=dict)


def run_recipe(
    recipe: str | Path,
    *overrides: str,
    steps: int = 2,
    fake_data: bool = False,
    plugins: Sequence[Path] = (),
    folder: Path | None = None,
) -> RecipeRun:
    """Train a recipe for a few steps on the CPU, as `ganforge run` does; but callbacks and metrics must not raise.

    Args:
        recipe: a file, or the name of a shipped recipe.
        overrides: as on the command line: `networks.G.channels=4`.
        steps: how many.
        fake_data: put noise with the same fields and shapes in place of the data; whole numbers are 0 or 1.
        plugins: plain files to load as plugins, as with `-p`.
        folder: an empty folder for what the run writes; a temporary one by default.

    Raises:
        GanforgeError: what `ganforge run` would print.
    """
    registry = load_plugins(plugins).registry
    # After the caller's, these hold: the length, the place, and a value of every scalar for every step.
    ours = (f"run.steps={steps}", "run.device=cpu", "run.log_every=1", "callbacks.progress=null")
    checked = open_recipe(str(recipe), ("run.strict=true", *overrides, *ours), registry)
    if fake_data:
        checked = replace(checked, dataset=RandomData(checked.dataset, SAMPLES))
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = Run(checked, RunFolder(place), registry)
        diary = _Diary()
        run.callbacks.append(diary)
        run.start()
        status = run.train()
        return RecipeRun(status, diary.scalars, dict(run.figures), dict(run.trainer.cast.networks.items()))


class _Diary(Callback):
    """Keeps every scalar."""

    def __init__(self) -> None:
        self.scalars: dict[str, list[float]] = {}

    def statistics_read(self, run: RunView, scalars: Mapping[str, float]) -> None:
        for tag, value in scalars.items():
            self.scalars.setdefault(tag, []).append(value)
