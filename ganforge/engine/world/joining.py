"""How a process becomes a rank: torchrun, or whatever speaks as it does, says so in the environment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist

from ganforge.engine.world.world import ALONE, World
from ganforge.errors import EnvironmentFault

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
PARENT_S = 1.0


def launched() -> bool:
    """Whether this process was started as one of several ranks."""
    return all(name in os.environ for name in NEEDED)


@contextmanager
def joined(timeout_s: float) -> Iterator[World]:
    """The ranks that were launched together; alone where this process was not launched so.

    Args:
        timeout_s: how long ranks wait for each other.

    Raises:
        EnvironmentFault: the others cannot be reached.
    """
    if not launched():
        yield ALONE
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local, local_size = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    gpu = torch.cuda.is_available()
    if gpu and local < torch.cuda.device_count():
        torch.cuda.set_device(local)
    timeout = timedelta(seconds=timeout_s)
    _follow_parent()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=timeout)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise EnvironmentFault(
            f"rank {rank} of {size} could not reach the others at {where}: {str(error).strip().splitlines()[0]}\n"
            "  look at the addresses and at firewalls; on several hosts, NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME name\n"
            "  the network interface"
        ) from error
    world = World(rank, size, local, local_size, timeout)
    try:
        yield world
    except BaseException as error:
        world.tell_failure(error)
        raise
    finally:
        with suppress(Exception):
            dist.destroy_process_group()


def _follow_parent() -> None:
    """End when the launcher is gone, that no rank computes on unwatched: as asked by SIGTERM, with a checkpoint."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
