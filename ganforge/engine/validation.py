"""The fixed validation images: panels of them, and the metrics over all of them, without touching the training."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from ganforge import images
from ganforge.engine.cast import build_metric, derive_seed, evaluating
from ganforge.engine.loader import to_device
from ganforge.engine.nested import map_tensors
from ganforge.engine.scene import Scene
from ganforge.engine.state import random_state, restore_random_state, seed_all
from ganforge.engine.training import Trainer
from ganforge.parts import Sample, Samples
from ganforge.recipe.model import Bound

BATCH = 8


class Validation:
    """Panels and metrics over the validation samples; over training samples where a dataset has no others."""

    def __init__(self, trainer: Trainer, samples: Samples) -> None:
        self.trainer, self.samples, self.recipe = trainer, samples, trainer.recipe
        count = min(self.recipe.run.images_count, len(samples))
        # Spread over the set: neighbours in a folder are often frames of one scene.
        self.shown = [self._sample(index * len(samples) // count) for index in range(count)]

    def panel(self) -> Tensor:
        """A labelled grid, uint8 `[3, H, W]`: a row for each shown sample, a column for each of `run.images`."""
        with self._apart():
            columns = [self._images(sample) for sample in self.shown]
        return images.label_grid(columns, [written.text for written in self.recipe.images])

    def metrics(self) -> dict[str, float]:
        """The recipe's metrics over all validation samples, by name."""
        metrics = {use.name: (use, build_metric(use)) for use in self.recipe.metrics}
        with self._apart():
            for start in range(0, len(self.samples), BATCH):
                indices = range(start, min(start + BATCH, len(self.samples)))
                scene = self._scene([self._sample(index) for index in indices])
                for use, metric in metrics.values():
                    inputs = {name: self._value(scene, bound) for name, bound in use.inputs.items()}
                    metric.update(**inputs)  # type: ignore[attr-defined]  # its parameters are its own
        figures: dict[str, float] = {}
        for name, (_, metric) in metrics.items():
            result = metric.compute()
            figures |= _prefixed(name, result) if isinstance(result, Mapping) else {name: float(result)}
        return figures

    def _sample(self, index: int) -> Sample:
        return self.samples.sample(index, random.Random(index))

    def _scene(self, samples: list[Sample]) -> Scene:
        batch = to_device(default_collate(samples), self.trainer.precision)
        return Scene(self.trainer.program, batch, (), self.trainer.progress)

    def _value(self, scene: Scene, bound: Bound) -> Any:
        if isinstance(bound, tuple):
            return [self._value(scene, written) for written in bound]
        return map_tensors(self.trainer.precision.widen, scene.value(bound.expression))

    def _images(self, sample: Sample) -> list[Tensor]:
        scene = self._scene([sample])
        values = (self._value(scene, written) for written in self.recipe.images)
        return [images.to_uint8(value[0].float().cpu()).expand(3, -1, -1) for value in values]

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """What is drawn or measured must not change what is trained: modes, random generators, replay buffers."""
        cast = self.trainer.cast
        before, ops = random_state(), cast.ops
        cast.ops = cast.copied_ops(name for name in cast.rngs if self._uses(name))
        seed_all(derive_seed(self.recipe.run.seed, "validation"))  # the same noise in every panel
        try:
            with evaluating(cast.networks), self._averaged(), torch.no_grad():
                yield
        finally:
            cast.ops = ops
            restore_random_state(before)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Networks that have a moving average are judged by it."""
        networks = self.trainer.cast.networks
        raw = {name: networks[name] for player in self.trainer.players.values() for name in player.ema}
        for player in self.trainer.players.values():
            for name, average in player.ema.items():
                networks[name] = average.module.eval()
        try:
            yield
        finally:
            for name, network in raw.items():
                networks[name] = network

    def _uses(self, op: str) -> bool:
        written = [*self.recipe.images]
        for metric in self.recipe.metrics:
            for bound in metric.inputs.values():
                written += bound if isinstance(bound, tuple) else (bound,)
        return any(op in self.trainer.program.path(item.expression) for item in written)


def _prefixed(name: str, figures: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}/{key}": float(value) for key, value in figures.items()}
