"""Several processes of one command on this machine, through torch's own launcher."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganforge.commands._common import warn

DEFINITE = frozenset({1, 2, 3, 4})
"""Exit codes of faults that would come again."""
GRACE_S = 300
"""Seconds that processes which are asked to stop have for their last checkpoint."""
AT_ONCE_S = 10
"""Seconds that they have where a second signal ends them."""


def launch(arguments: Sequence[str], nproc: int, restarts: int) -> None:
    """Run `ganforge` with these arguments in so many processes, and exit as they do.

    A process that is killed ends the others; then all start anew, up to so many times, and go on from the last
    checkpoint.
    """
    job = uuid.uuid4().hex
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // nproc)))
    for attempt in range(restarts + 1):
        codes = _attempt(arguments, nproc, job)
        if not codes:
            return
        definite = DEFINITE & set(codes.values())
        if definite:
            sys.exit(min(definite))
        rank, code = next(iter(codes.items()))
        how = f"rank {rank} was killed by signal {-code}" if code < 0 else f"rank {rank} ended with exit code {code}"
        if attempt == restarts:
            warn(f"{how}: after {restarts} restarts, no more" if restarts else how)
            sys.exit(code if code >= 0 else 128 - code)
        warn(f"{how}: going on from the last checkpoint, restart {attempt + 1} of {restarts}")


def _attempt(arguments: Sequence[str], nproc: int, job: str) -> Mapping[int, int]:
    """Run them once; the exit codes of those that failed, the first first, negative for signals."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _silence()
    more: dict[str, Any] = {"shutdown_timeout": GRACE_S}
    known = {field.name for field in dataclasses.fields(LaunchConfig)}  # torch 2.9 has it not
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=nproc,
        run_id=job,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        rdzv_configs={"is_host": True},
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
        **{name: value for name, value in more.items() if name in known},
    )
    try:
        elastic_launch(config, sys.executable)("-m", "ganforge", *arguments)
    except ChildFailedError as failed:
        codes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
        return dict(sorted(codes.items(), key=_blame))
    except SignalException as asked:
        if _end_what_is_left():
            os._exit(128 + asked.sigval)  # torch's threads would wait for ranks that it has not seen end
        sys.exit(128 + asked.sigval)
    return {}


def _end_what_is_left() -> bool:
    """End ranks that are left, at once, and say whether there were some: torch's launcher raises out of its signal
    handler, so that a second signal may find it anywhere on its way to end them."""
    left = _children()
    for number in (signal.SIGINT, signal.SIGTERM) if left else ():  # twice, whatever they have heard before
        signal.signal(number, signal.SIG_IGN)
        for rank in left:
            with suppress(ProcessLookupError):
                os.killpg(rank, number)
    limit = time.monotonic() + AT_ONCE_S
    for rank in left:
        with suppress(ChildProcessError):
            while os.waitpid(rank, os.WNOHANG) == (0, 0):
                if time.monotonic() > limit:
                    with suppress(ProcessLookupError):
                        os.killpg(rank, signal.SIGKILL)
                time.sleep(0.05)
    return bool(left)


def _children() -> list[int]:
    """The processes that this one has started, and that run; none where the system has no /proc."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):  # it may be gone by now
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.append(int(place.name))
    return found


def _blame(failed: tuple[int, int]) -> tuple[bool, bool]:
    """A rank that was killed comes before those that missed it, and those that the launcher then stopped last."""
    _, code = failed
    return code == -signal.SIGTERM, code > 0


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _silence() -> None:
    """Silence torch's tables of what went wrong, which the ranks tell, and its advice on threads."""
    for name in ("torch.distributed.elastic", "torch.distributed.launcher", *logging.root.manager.loggerDict):
        if name.startswith(("torch.distributed.elastic", "torch.distributed.launcher")):
            logging.getLogger(name).setLevel(logging.CRITICAL)
