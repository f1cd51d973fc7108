"""Batches as a function of (seed, step, lane): how many workers or ranks, and where a run resumed, change nothing."""

from __future__ import annotations

import random
import signal
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ganforge import images
from ganforge.engine.bad_files import taken
from ganforge.engine.cast import derive_seed
from ganforge.engine.device import Precision
from ganforge.engine.division import Division
from ganforge.engine.sample_checks import BATCHES, Look, Promise
from ganforge.errors import EnvironmentFault, GanforgeError, UsageError
from ganforge.parts import Sample, Samples
from ganforge.recipe.model import Recipe

Place = tuple[int, list[int]]
"""An epoch, and the indices of a batch in it."""

Made = tuple[Sample | GanforgeError, Sequence[str]]
"""A batch, and what was wrong with the bad files that were skipped for it."""

TOLD = 5
"""Bad files that are told one by one."""


class Loader:
    """Training batches from a step on, on the device, without end: as many a step as this rank computes."""

    def __init__(
        self,
        samples: Samples,
        division: Division,
        workers: int,
        seed: int,
        precision: Precision,
        said: Promise | None = None,
    ) -> None:
        self.samples, self.division, self.workers = samples, division, workers
        self.seed, self.precision = seed, precision
        self.said = said
        """What the dataset says of its samples; the first batches are held against it."""
        self.bad_files: dict[str, None] = {}
        """What was wrong with the files in whose place others were shown."""
        self.steps_per_epoch = count_steps(samples, division)
        if workers and not samples.in_workers:
            raise UsageError(
                "the data lies on the GPU (cache: device), where workers cannot reach it; set data.workers=0"
            )
        self.wait_s = 0.0
        """Seconds that the step waited for the latest batch."""

    def batches(self, step: int) -> Generator[dict[str, Tensor], None, None]:
        """All batches of this rank from a step of the run on."""
        with closing(self.made(step)) as made:
            while True:
                start = time.perf_counter()
                batch = to_device(next(made), self.precision)
                self.wait_s = time.perf_counter() - start
                yield batch

    def made(self, step: int) -> Generator[Sample, None, None]:
        """The same as the dataset makes them: not yet on the device, pictures mostly as uint8."""
        seeded = _Seeded(self.samples, self.seed, self.said)
        places, again = (_places(self.samples, self.division, self.seed, step) for _ in range(2))
        batches = self._from_workers(seeded, places) if self.workers else map(seeded.__getitem__, places)
        look, left = self.said and Look(self.said), BATCHES
        try:
            for batch, bad in batches:
                self._note(bad)
                if isinstance(batch, GanforgeError):
                    raise batch
                if look:
                    look.at_batch(batch, next(again)[1])
                    if not (left := left - 1):
                        look.tell()
                        look = None
                yield batch
        finally:
            del batches  # and its workers with it, now: at exit Python would wait for them for ever, deaf to SIGTERM

    def _note(self, bad: Sequence[str]) -> None:
        """Say of a file that it is skipped, once; of many, that there are more."""
        for text in bad:
            if text not in self.bad_files:
                self.bad_files[text] = None
                if len(self.bad_files) <= TOLD:
                    more = "; further ones are counted" if len(self.bad_files) == TOLD else ""
                    warnings.warn(
                        f"{text}\n  another sample takes its place (data.on_bad_file: skip){more}", stacklevel=2
                    )

    def _from_workers(self, seeded: _Seeded, places: Iterator[Place]) -> Iterator[Made]:
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


def count_steps(samples: Samples, division: Division) -> int:
    """Steps of an epoch.

    Raises:
        EnvironmentFault: the samples fill none.
    """
    if len(samples) < division.global_batch:
        raise EnvironmentFault(
            f"the dataset has {len(samples)} training samples, fewer than a step takes: {division}\n"
            f"  lower {division.dials}"
        )
    return len(samples) // division.global_batch


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


class _Seeded(Dataset[Made]):
    """Batches by (epoch, indices), the randomness of each sample drawn from nothing else; and the bad files met."""

    def __init__(self, samples: Samples, seed: int, said: Promise | None) -> None:
        self.samples, self.seed, self.said = samples, seed, said

    def __getitem__(self, place: Place) -> Made:
        try:
            return self.samples.batch(place[1], self._rngs(place)), taken(self.samples)
        except GanforgeError as error:  # raised in a worker, it would come out wrapped in a traceback
            return error, taken(self.samples)
        except Exception:
            if fault := self._fault(place):
                return fault, taken(self.samples)
            raise

    def _rngs(self, place: Place) -> list[random.Random]:
        epoch, indices = place
        return [random.Random(derive_seed(self.seed, "sample", epoch, index)) for index in indices]

    def _fault(self, place: Place) -> GanforgeError | None:
        """Why samples make no batch, if one of them is not what the dataset says."""
        if self.said is None:
            return None
        look = Look(self.said)
        try:
            for index, rng in zip(place[1], self._rngs(place), strict=True):
                look.at(self.samples.sample(index, rng), index)
        except GanforgeError as fault:
            return fault
        except Exception:
            return None
        return None


def _places(samples: Samples, division: Division, seed: int, step: int) -> Iterator[Place]:
    """Each epoch's own order, in batches, from a step on. What does not fill a step waits for another epoch.

    However a step's samples are divided, together they are the same; but where each lane has a stretch of its own,
    another number of lanes takes them in another order.
    """
    steps_per_epoch = len(samples) // division.global_batch
    epoch, first = divmod(step, steps_per_epoch)
    while True:
        order, stretches = _order(samples, seed, epoch)
        for number in range(first, steps_per_epoch):
            for lane in division.mine:
                start = division.lane_batch * (
                    lane * steps_per_epoch + number if stretches else number * division.lanes + lane
                )
                for micro in range(start, start + division.lane_batch, division.batch):
                    yield epoch, list(order[micro : micro + division.batch])
        epoch, first = epoch + 1, 0


def _order(samples: Samples, seed: int, epoch: int) -> tuple[Sequence[int], bool]:
    """The samples of an epoch, and whether each lane should have a stretch of them: neighbours lie together."""
    rng = random.Random(derive_seed(seed, "order", epoch))
    chosen = samples.order(rng)
    if chosen is not None:
        return chosen, True
    order = list(range(len(samples)))
    rng.shuffle(order)
    return order, False


def _ignore_stop(_worker: int) -> None:
    """Ctrl-C, and a scheduler's SIGTERM, reach the whole process group; the run itself decides when its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
