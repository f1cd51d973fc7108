"""Processes that load batches; one that is killed, or crashes, is told with what to do."""

from __future__ import annotations

import multiprocessing.connection
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ganforge.engine.device import Precision
from ganforge.exhaustion import lost_worker_told, worker_lost

DYING_S = 2.0
"""How long a worker may take to end after its connection broke."""


class WorkerLost(Exception):
    """A loading worker is gone; the message says how, and what to do."""


def workers(batches: Dataset[Any], places: Iterable[Any], count: int, precision: Precision) -> Iterator[Any]:
    """The batches of these places, in their order, made by so many processes.

    Raises:
        WorkerLost: one of them is gone.
    """
    loader = DataLoader(
        batches,
        sampler=places,
        batch_size=None,
        num_workers=count,
        pin_memory=precision.device.type == "cuda",
        worker_init_fn=_ignore_stop,
        # Otherwise making the iterator would draw from the run's own generator.
        generator=torch.Generator(),
        prefetch_factor=4,
    )
    with _no_surprises():
        made: Any = iter(loader)
    while True:
        _look_after(made)
        try:
            batch = next(made)
        except (OSError, EOFError, RuntimeError) as error:
            # A worker that is gone may show first as a broken connection, for the batch that it had ready.
            _look_after(made, wait_s=DYING_S if worker_lost(error) or not isinstance(error, RuntimeError) else 0)
            raise
        yield batch


def _look_after(made: Any, wait_s: float = 0) -> None:
    """Notice a worker that is gone before one waits for its batch.

    Raises:
        WorkerLost: there is one; or one has gone after so many seconds.
    """
    if wait_s:
        multiprocessing.connection.wait([worker.sentinel for worker in made._workers], wait_s)
    for worker in made._workers:
        if worker.exitcode is not None:
            raise WorkerLost(lost_worker_told(worker.pid, worker.exitcode))


@contextmanager
def _no_surprises() -> Iterator[None]:
    """Keep the handler of SIGCHLD. Torch's raises wherever the training is just then, in the midst of a step; a worker
    that is gone is noticed anyway, between two steps, after which what was trained can be saved."""
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def _ignore_stop(_worker: int) -> None:
    """Ctrl-C, and a scheduler's SIGTERM, reach the whole process group; the run itself decides when its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
