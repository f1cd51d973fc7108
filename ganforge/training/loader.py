"""Batches as a function of (seed, step, lane): how many workers or ranks, and where a run resumed, change nothing."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from ganforge.api.datasets import Sample, Samples
from ganforge.core.randomness import derive_seed
from ganforge.errors import EnvironmentFault, GanforgeError, UsageError
from ganforge.failures.blame import blame, fault_of, refuse
from ganforge.failures.fault import PartFailed
from ganforge.failures.words import said
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.recipe.building import kind_of
from ganforge.recipe.model import PartUse
from ganforge.rehearsal.sample_checks import BATCHES, Look, Promise
from ganforge.step.batch import to_device
from ganforge.training.data import taken
from ganforge.training.workers import workers

Place = tuple[int, list[int]]
"""An epoch, and the indices of a batch in it."""

Made = tuple[Sample | Exception, Sequence[str]]
"""A batch, and what was wrong with the bad files that were skipped for it."""

TOLD = 5
"""How many bad files are told one by one."""


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
        use: PartUse | None = None,
    ) -> None:
        """`use` is the dataset, as the recipe names it."""
        self.samples, self.division, self.workers, self.use = samples, division, workers, use
        self.seed, self.precision = seed, precision
        self.said = said
        """What the dataset says of its samples; the first batches are held against it."""
        self.bad_files: dict[str, None] = {}
        """What was wrong with the files in whose place others were shown."""
        with blame("the training samples cannot be counted", use):
            self.count = len(samples)
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
        """The same as the dataset makes them: not yet on the device, pictures mostly as uint8.

        Raises:
            GanforgeError: a sample cannot be made, and the dataset says why.
            PartFailed: it raised anything else, in whichever process, or made no samples.
            WorkerLost: a loading worker is gone.
        """
        seeded = _Seeded(self.samples, self.seed, self.said, self.use)
        places, again = (_places(self.samples, self.count, self.division, self.seed, step, self.use) for _ in range(2))
        alone = map(seeded.__getitem__, places)
        batches = workers(seeded, places, self.workers, self.precision) if self.workers else alone
        look, left = self.said and Look(self.said), BATCHES
        try:
            for batch, bad in batches:
                self._note(bad)
                if isinstance(batch, Exception):
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


def count_steps(samples: Samples, division: Division) -> int:
    """Steps of an epoch.

    Raises:
        EnvironmentFault: the samples fill none.
    """
    if len(samples) < division.global_batch:
        raise EnvironmentFault(
            f"the dataset has {len(samples)} training samples, fewer than a step takes: {division}",
            f"lower {division.dials}",
        )
    return len(samples) // division.global_batch


class _Seeded(Dataset[Made]):
    """Batches by (epoch, indices), the randomness of each sample drawn from nothing else; and the bad files met."""

    def __init__(self, samples: Samples, seed: int, promise: Promise | None, use: PartUse | None) -> None:
        self.samples, self.seed, self.promise, self.use = samples, seed, promise, use

    def __getitem__(self, place: Place) -> Made:
        """The batch; what is raised is returned: from a worker it would come wrapped in a traceback, or not at all."""
        epoch, indices = place
        try:
            with blame(f"the samples {', '.join(map(str, indices))} of epoch {epoch} cannot be made", self.use):
                return self._batch(place), taken(self.samples)
        except GanforgeError as error:
            return error, taken(self.samples)
        except Exception as error:
            if fault := self._fault(place):
                return fault, taken(self.samples)
            # Of what was raised in a worker, what can travel to the process that trains.
            told = error if get_worker_info() is None else PartFailed(said(error), fault_of(error))
            return told, taken(self.samples)

    def _batch(self, place: Place) -> Sample:
        batch = self.samples.batch(place[1], self._rngs(place))
        if self.promise and not (isinstance(batch, dict) and all(isinstance(t, Tensor) for t in batch.values())):
            Look(self.promise).at_batch(batch, place[1])
        return checked(batch, self.use)

    def _rngs(self, place: Place) -> list[random.Random]:
        epoch, indices = place
        return [random.Random(derive_seed(self.seed, "sample", epoch, index)) for index in indices]

    def _fault(self, place: Place) -> GanforgeError | None:
        """Why samples make no batch, if one of them is not what the dataset says."""
        if self.promise is None:
            return None
        look = Look(self.promise)
        try:
            for index, rng in zip(place[1], self._rngs(place), strict=True):
                look.at(self.samples.sample(index, rng), index)
        except GanforgeError as fault:
            return fault
        except BaseException:  # which was raised already
            return None
        return None


def checked(batch: Any, use: PartUse | None) -> Sample:
    """A sample, or a batch, that another process and the device can be given: other tensors would be lost on the way.

    Raises:
        PartFailed: it is not made of plain tensors.
    """
    if not isinstance(batch, dict) or not batch:
        raise refuse(f"it is {kind_of(batch)}, not tensors by the names of fields", use)
    for name, tensor in batch.items():
        if not isinstance(tensor, Tensor):
            raise refuse(f"the field '{name}' is {kind_of(tensor)}, not a tensor", use)
        if tensor.is_complex() or tensor.layout != torch.strided or tensor.device.type == "meta":
            how = (
                "has no values (device meta)" if tensor.device.type == "meta" else f"is {tensor.dtype}, {tensor.layout}"
            )
            raise refuse(f"the tensor of the field '{name}' {how}; make it a plain one of real numbers", use)
        if tensor.requires_grad:
            batch[name] = tensor.detach()
    return batch


def _places(
    samples: Samples, count: int, division: Division, seed: int, step: int, use: PartUse | None
) -> Iterator[Place]:
    """Each epoch's own order, in batches, from a step on. What does not fill a step waits for another epoch.

    However a step's samples are divided, together they are the same; but where each lane has a stretch of its own,
    another number of lanes takes them in another order.
    """
    steps_per_epoch = count // division.global_batch
    epoch, first = divmod(step, steps_per_epoch)
    while True:
        order, stretches = _order(samples, count, seed, epoch, use)
        for number in range(first, steps_per_epoch):
            for lane in division.mine:
                start = division.lane_batch * (
                    lane * steps_per_epoch + number if stretches else number * division.lanes + lane
                )
                for micro in range(start, start + division.lane_batch, division.batch):
                    yield epoch, list(order[micro : micro + division.batch])
        epoch, first = epoch + 1, 0


def _order(samples: Samples, count: int, seed: int, epoch: int, use: PartUse | None) -> tuple[Sequence[int], bool]:
    """The samples of an epoch, and whether each lane should have a stretch of them: neighbours lie together."""
    rng = random.Random(derive_seed(seed, "order", epoch))
    with blame(f"the order of epoch {epoch} cannot be had", use):
        chosen = samples.order(rng)
        if chosen is not None and len(chosen) < count:
            raise refuse(f"order() gives {len(chosen)} numbers, fewer than the {count} samples", use)
    if chosen is not None:
        return chosen, True
    order = list(range(count))
    rng.shuffle(order)
    return order, False
