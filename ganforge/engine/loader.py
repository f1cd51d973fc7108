"""Batches as a function of (seed, position): the number of workers, and where a run resumed, change nothing."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import closing

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ganforge import images
from ganforge.engine.cast import derive_seed
from ganforge.engine.device import Precision
from ganforge.errors import EnvironmentFault, GanforgeError, UsageError
from ganforge.parts import Sample, Samples
from ganforge.recipe.model import Recipe

Place = tuple[int, list[int]]
"""An epoch, and the indices of a batch in it."""


class Loader:
    """Training batches from a position on, on the device, without end."""

    def __init__(self, samples: Samples, batch_size: int, workers: int, seed: int, precision: Precision) -> None:
        self.samples, self.batch_size, self.workers = samples, batch_size, workers
        self.seed, self.precision = seed, precision
        self.batches_per_epoch = count_batches(samples, batch_size)
        if workers and not samples.in_workers:
            raise UsageError(
                "the data lies on the GPU (cache: device), where workers cannot reach it; set data.workers=0"
            )
        self.wait_s = 0.0
        """Seconds that the step waited for the latest batch."""

    def batches(self, position: int) -> Generator[dict[str, Tensor], None, None]:
        """All batches from number `position` of the run on."""
        with closing(self.made(position)) as made:
            while True:
                start = time.perf_counter()
                batch = to_device(next(made), self.precision)
                self.wait_s = time.perf_counter() - start
                yield batch

    def made(self, position: int) -> Generator[Sample, None, None]:
        """The same as the dataset makes them: not yet on the device, pictures mostly as uint8."""
        seeded = _Seeded(self.samples, self.seed)
        places = _places(len(self.samples), self.batch_size, self.seed, position)
        batches = self._from_workers(seeded, places) if self.workers else map(seeded.__getitem__, places)
        try:
            for batch in batches:
                if isinstance(batch, GanforgeError):
                    raise batch
                yield batch
        finally:
            del batches  # and its workers with it, now: at exit Python would wait for them for ever, deaf to SIGTERM

    def _from_workers(self, seeded: _Seeded, places: Iterator[Place]) -> Iterator[Sample | GanforgeError]:
        return iter(
            DataLoader(
                seeded,
                sampler=places,
                batch_size=None,
                num_workers=self.workers,
                pin_memory=self.precision.device.type == "cuda",
                worker_init_fn=_ignore_stop,
                # Otherwise making the iterator would draw from the run's own generator.
                generator=torch.Generator(),
                prefetch_factor=4,
            )
        )


def count_batches(samples: Samples, batch_size: int) -> int:
    """Batches of an epoch.

    Raises:
        EnvironmentFault: the samples fill none.
    """
    if len(samples) < batch_size:
        raise EnvironmentFault(
            f"the dataset has {len(samples)} training samples, fewer than data.batch_size={batch_size}; lower it"
        )
    return len(samples) // batch_size


def to_device(batch: Sample, precision: Precision) -> dict[str, Tensor]:
    """A batch on the device: floats in the weights' type, pictures of uint8 as floats in `[-1, 1]`."""
    return {name: _widened(images.upload(tensor, precision.device), precision) for name, tensor in batch.items()}


def _widened(tensor: Tensor, precision: Precision) -> Tensor:
    return precision.arrange(precision.widen(images.to_float(tensor) if tensor.dtype == torch.uint8 else tensor))


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
    """Batches by (epoch, indices), the randomness of each sample drawn from nothing else."""

    def __init__(self, samples: Samples, seed: int) -> None:
        self.samples, self.seed = samples, seed

    def __getitem__(self, place: Place) -> Sample | GanforgeError:
        epoch, indices = place
        rngs = [random.Random(derive_seed(self.seed, "sample", epoch, index)) for index in indices]
        try:
            return self.samples.batch(indices, rngs)
        except GanforgeError as error:  # raised in a worker, it would come out wrapped in a traceback
            return error


def _places(count: int, batch_size: int, seed: int, position: int) -> Iterator[Place]:
    """Each epoch's own shuffle, in batches, from a position on. What does not fill a batch waits for another epoch."""
    batches_per_epoch = count // batch_size
    epoch, first = divmod(position, batches_per_epoch)
    while True:
        order = list(range(count))
        random.Random(derive_seed(seed, "order", epoch)).shuffle(order)
        for start in range(first * batch_size, batches_per_epoch * batch_size, batch_size):
            yield epoch, order[start : start + batch_size]
        epoch, first = epoch + 1, 0


def _ignore_stop(_worker: int) -> None:
    """Ctrl-C, and a scheduler's SIGTERM, reach the whole process group; the run itself decides when its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
