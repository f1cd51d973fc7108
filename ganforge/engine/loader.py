"""Batches as a function of (seed, position): the number of workers, and where a run resumed, change nothing."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from ganforge.engine.cast import derive_seed
from ganforge.engine.device import Precision
from ganforge.errors import EnvironmentFault, GanforgeError, UsageError
from ganforge.parts import Sample, Samples
from ganforge.recipe.model import Recipe

Place = tuple[int, int]


class Loader:
    """Training batches from a position on, on the device, without end."""

    def __init__(self, samples: Samples, batch_size: int, workers: int, seed: int, precision: Precision) -> None:
        self.samples, self.batch_size, self.workers = samples, batch_size, workers
        self.seed, self.precision = seed, precision
        self.batches_per_epoch = len(samples) // batch_size
        if not self.batches_per_epoch:
            raise EnvironmentFault(
                f"the dataset has {len(samples)} training samples, fewer than data.batch_size={batch_size}; lower it"
            )
        if workers and not samples.in_workers:
            raise UsageError(
                "the data lies on the GPU (cache: device), where workers cannot reach it; set data.workers=0"
            )
        self.wait_s = 0.0
        """Seconds that the latest batch was waited for."""

    def batches(self, position: int) -> Generator[dict[str, Tensor], None, None]:
        """All batches from number `position` of the run on."""
        pinned = self.precision.device.type == "cuda" and self.samples.in_workers
        loader = DataLoader(
            _Seeded(self.samples, self.seed),
            batch_sampler=_Order(len(self.samples), self.batch_size, self.batches_per_epoch, self.seed, position),
            num_workers=self.workers,
            pin_memory=pinned,
            worker_init_fn=_ignore_stop if self.workers else None,
            # Otherwise making the iterator would draw from the run's own generator.
            generator=torch.Generator(),
            collate_fn=_collate,
            prefetch_factor=4 if self.workers else None,
        )
        iterator = iter(loader)
        try:
            while True:
                start = time.perf_counter()
                batch = next(iterator)
                self.wait_s = time.perf_counter() - start
                if isinstance(batch, GanforgeError):
                    raise batch
                yield to_device(batch, self.precision, pinned)
        finally:
            del iterator  # and its workers with it, now: at exit Python would wait for them for ever, deaf to SIGTERM


def to_device(batch: Sample, precision: Precision, pinned: bool = False) -> dict[str, Tensor]:
    """A batch on the device, its floats in the weights' type."""
    return {name: precision.widen(tensor.to(precision.device, non_blocking=pinned)) for name, tensor in batch.items()}


def blank_batch(recipe: Recipe, precision: Precision, validation: bool = False) -> dict[str, Tensor]:
    """A batch of zeros with the fields, shapes and types of the recipe's data."""
    dataset, size = recipe.dataset, recipe.loader.batch_size
    shapes = dataset.validation_shapes() if validation else dataset.shapes()
    dtypes = dataset.dtypes()
    return {
        name: torch.zeros(size, *shape, device=precision.device, dtype=dtypes.get(name, precision.weights))
        for name, shape in shapes.items()
    }


class _Seeded(Dataset[Sample | GanforgeError]):
    """Samples by (epoch, index), their randomness drawn from nothing else."""

    def __init__(self, samples: Samples, seed: int) -> None:
        self.samples, self.seed = samples, seed

    def __getitem__(self, place: Place) -> Sample | GanforgeError:
        epoch, index = place
        try:
            return self.samples.sample(index, random.Random(derive_seed(self.seed, "sample", epoch, index)))
        except GanforgeError as error:  # raised in a worker, it would come out wrapped in a traceback
            return error


class _Order(Sampler[list[Place]]):
    """Each epoch's own shuffle, in batches, from a position on. What does not fill a batch waits for another epoch."""

    def __init__(self, count: int, batch_size: int, batches_per_epoch: int, seed: int, position: int) -> None:
        self.count, self.batch_size, self.batches_per_epoch = count, batch_size, batches_per_epoch
        self.seed, self.position = seed, position

    def __iter__(self) -> Iterator[list[Place]]:
        epoch, first = divmod(self.position, self.batches_per_epoch)
        while True:
            order = list(range(self.count))
            random.Random(derive_seed(self.seed, "order", epoch)).shuffle(order)
            for batch in range(first, self.batches_per_epoch):
                start = batch * self.batch_size
                yield [(epoch, index) for index in order[start : start + self.batch_size]]
            epoch, first = epoch + 1, 0


def _ignore_stop(_worker: int) -> None:
    """Ctrl-C, and a scheduler's SIGTERM, reach the whole process group; the run itself decides when its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _collate(samples: list[Sample | GanforgeError]) -> Any:
    """A batch, or the first error among its samples."""
    return next((sample for sample in samples if isinstance(sample, GanforgeError)), None) or default_collate(samples)
