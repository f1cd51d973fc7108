"""Processes that load batches; one that is killed, or crashes, is told with what to do."""

from __future__ import annotations

import multiprocessing.connection
import selectors
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ganforge.core.torch_internals.processes import shut_down, workers_of
from ganforge.failures.exhaustion import lost_worker_told, worker_lost
from ganforge.ranks.device import Precision

WAITING = frozenset(filter(None, (multiprocessing.connection.__file__, selectors.__file__)))
"""Files of Python in which a process waits for what another one sends."""
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
    try:
        while True:
            with _noticing(made):
                batch = _next(made)
            yield batch
    finally:
        _end(made)


def _next(made: Any) -> Any:
    _look_after(made)
    try:
        return next(made)
    except (OSError, EOFError, RuntimeError) as error:
        # A worker that is gone may show first as a broken connection, for the batch that it had ready.
        _look_after(made, wait_s=DYING_S if worker_lost(error) or not isinstance(error, RuntimeError) else 0)
        raise


def _end(made: Any) -> None:
    """End the workers now. They are deaf to SIGTERM, and whoever holds the iterator, such as the traceback of an error,
    would let Python wait for them for ever at its own end; one that another took a lock from never ends by itself."""
    if any(worker.exitcode is not None for worker in workers_of(made)):
        for worker in workers_of(made):
            worker.kill()
    shut_down(made)
    for worker in workers_of(made):
        if worker.is_alive():
            worker.kill()
            worker.join()


def _look_after(made: Any, wait_s: float = 0) -> None:
    """Notice a worker that is gone before one waits for its batch.

    Raises:
        WorkerLost: there is one; or one has gone after so many seconds.
    """
    if wait_s:
        going = multiprocessing.connection.wait([worker.sentinel for worker in workers_of(made)], wait_s)
        for worker in workers_of(made):
            if worker.sentinel in going:  # its connections close a moment before it is over
                worker.join(wait_s)
    for worker in workers_of(made):
        if worker.exitcode is not None:
            raise WorkerLost(lost_worker_told(worker.pid, worker.exitcode))


@contextmanager
def _noticing(made: Any) -> Iterator[None]:
    """While one waits for a batch, the end of a worker interrupts: half of one may have come, and no more would."""
    if not _hears_signals():
        yield
        return

    def ended(_number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename in WAITING:  # elsewhere it would come in the way of an error
            _look_after(made)

    before = signal.signal(signal.SIGCHLD, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def _hears_signals() -> bool:
    return hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread()


@contextmanager
def _no_surprises() -> Iterator[None]:
    """Keep the handler of SIGCHLD. Torch's raises wherever the training is just then, in the midst of a step; a worker
    that is gone is noticed anyway, between two steps, after which what was trained can be saved."""
    if not _hears_signals():
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
    sys.excepthook = _tell_no_broken_connection


def _tell_no_broken_connection(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A thread of a worker would print a traceback where the run goes away while it hands a batch over."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)
