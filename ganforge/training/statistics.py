"""Scalars of training, gathered on the device and read seldom: reading is the only synchronisation."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ganforge.ranks import ALONE, World
from ganforge.ranks.device import synchronize


class Statistics:
    """Means of named scalars since they were last read."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.wide = torch.float64 if device.type == "cpu" else torch.float32
        self.sums: dict[tuple[str, ...], Tensor] = {}
        self.counts: dict[tuple[str, ...], int] = {}

    def add(self, name: str, value: Tensor | float) -> None:
        """Count a value into the mean of this name; never waits for the device."""
        value = value.detach() if isinstance(value, Tensor) else torch.tensor(value, dtype=self.wide)
        self.add_all((name,), value.reshape(1))

    def add_all(self, names: tuple[str, ...], values: Tensor) -> None:
        """Count the values `[len(names)]` into the means of these names, all in one go."""
        values = values.to(self.wide)
        self.sums[names] = self.sums[names] + values if names in self.sums else values.clone()
        self.counts[names] = self.counts.get(names, 0) + 1

    def read(self, world: World = ALONE) -> dict[str, float]:
        """The means over all ranks, in the order in which the names first came; starts anew."""
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        here = self._entries()
        for names, values, count in itertools.chain.from_iterable(world.gather(here)):
            for name, value in zip(names, values, strict=True):
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + count
        self.sums, self.counts = {}, {}
        return {name: total / counts[name] for name, total in sums.items()}

    def _entries(self) -> list[tuple[tuple[str, ...], list[float], int]]:
        read = zip(self.sums, _read(self.sums.values()), strict=True)
        return [(names, values, self.counts[names]) for names, values in read]

    def gathered(self, world: World) -> dict[str, Any]:
        """The `state_dict` of all ranks together."""
        if world.size == 1:
            return self.state_dict()
        here = self._entries()
        all_of_them = Statistics(self.device)
        for names, values, count in itertools.chain.from_iterable(world.gather(here)):
            all_of_them.add_all(tuple(names), torch.tensor(values, dtype=self.wide))
            all_of_them.counts[tuple(names)] += count - 1
        return all_of_them.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """The sums that have not been read: a resumed run logs what an uninterrupted one does."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.sums = {names: values.to(self.device) for names, values in state["sums"].items()}
        self.counts = dict(state["counts"])


def _read(sums: Iterable[Tensor]) -> list[list[float]]:
    """The values of vectors, in one transfer from each device."""
    sums = list(sums)
    values: dict[int, list[float]] = {}
    for device in dict.fromkeys(vector.device for vector in sums):
        here = [number for number, vector in enumerate(sums) if vector.device == device]
        flat = torch.cat([sums[number] for number in here]).tolist()
        for number in here:
            values[number], flat = flat[: len(sums[number])], flat[len(sums[number]) :]
    return [values[number] for number in range(len(sums))]


class Stopwatch:
    """Seconds spent in each part of a step: by the clock on a CPU, by events on a GPU, which are read later."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.cuda = device, device.type == "cuda"
        self.began, self.steps = time.perf_counter(), 0
        self.seconds: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure what the device does in this block."""
        if not self.cuda:
            start = time.perf_counter()
            yield
            self.add(name, time.perf_counter() - start)
            return
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        yield
        last.record()
        self.events.append((name, first, last))

    def add(self, name: str, seconds: float) -> None:
        """Count seconds measured elsewhere."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.counts[name] = self.counts.get(name, 0) + 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens in this block is no part of a step: panels, metrics, checkpoints."""
        synchronize(self.device)  # or the steps still under way would count as part of the block
        start = time.perf_counter()
        yield
        self.began += time.perf_counter() - start

    def restart(self) -> None:
        """Begin to measure now."""
        self.began, self.steps, self.seconds, self.counts, self.events = time.perf_counter(), 0, {}, {}, []

    def read(self) -> dict[str, float]:
        """Mean seconds since they were last read; call it where the device is synchronised anyway."""
        for name, first, last in self.events:
            self.add(name, first.elapsed_time(last) / 1000)
        means = {name: total / self.counts[name] for name, total in self.seconds.items()}
        # By the clock, not by what the host saw of each step: a GPU works on while the host goes ahead.
        means["seconds/step"] = (time.perf_counter() - self.began) / max(1, self.steps)
        self.restart()
        return means
