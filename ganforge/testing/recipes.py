"""A few real steps of a recipe, on real or on made-up data."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ganforge.engine.folder import RunFolder
from ganforge.engine.run import Run
from ganforge.parts import Callback, Dataset, Sample, Samples
from ganforge.plugins import load_plugins
from ganforge.recipe import open_recipe
from ganforge.testing.datasets import random_batch

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
    """Train a recipe for a few steps on the CPU, as `ganforge run` does.

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
    checked = open_recipe(str(recipe), (*overrides, *ours), registry)
    if fake_data:
        checked = replace(checked, dataset=_Noise(checked.dataset))
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

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        for tag, value in scalars.items():
            self.scalars.setdefault(tag, []).append(value)


class _Noise(Dataset):
    """A few samples of noise with the fields of another dataset."""

    def __init__(self, like: Dataset) -> None:
        self.like = like

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self.like.shapes()

    def validation_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self.like.validation_shapes()

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return self.like.dtypes()

    def train(self) -> Samples:
        return _NoiseSamples(random_batch(self.like, SAMPLES, torch.Generator().manual_seed(0)))

    def validation(self) -> Samples | None:
        return self.train() if self.like.validation_shapes() == self.like.shapes() else self._all_fields()

    def _all_fields(self) -> Samples:
        shapes = self.like.validation_shapes()
        generator = torch.Generator().manual_seed(1)
        return _NoiseSamples({f: torch.rand(SAMPLES, *s, generator=generator) * 2 - 1 for f, s in shapes.items()})


class _NoiseSamples(Samples):
    def __init__(self, fields: Mapping[str, Tensor]) -> None:
        self.fields = fields

    def __len__(self) -> int:
        return SAMPLES

    def sample(self, index: int, rng: random.Random) -> Sample:
        return {name: _plain(values[index]) for name, values in self.fields.items()}


def _plain(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
