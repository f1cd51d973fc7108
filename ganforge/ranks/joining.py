"""How a process becomes a rank: torchrun, or whatever speaks as it does, says so in the environment."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist

from ganforge.core.torch_internals.processes import PrefixStore, Store, TCPStore
from ganforge.errors import EnvironmentFault, GanforgeError
from ganforge.failures.blame import told
from ganforge.ranks.failure_reports import LastWords, PeerLost
from ganforge.ranks.world import ALONE, World

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
PARENT_S = 1.0
MEETING_S = 0.02
JOINING = 2
"""How many timeouts the joining may take: one to meet, one to connect."""
GRACE_S = 300.0
LAST_S = 1.0
"""Seconds after which a rank that lost another one ends: so a launcher sees which was the first."""


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
    if torch.cuda.is_available() and local < torch.cuda.device_count():
        torch.cuda.set_device(local)
    _follow_parent()
    timeout = timedelta(seconds=timeout_s)
    store = _connect(rank, size, timeout)
    world = World(rank, size, local, local_size, timeout, LastWords(rank, size, local, store))
    failed = False
    try:
        yield world
    except (Exception, KeyboardInterrupt) as error:
        failed = True
        known = told(error)  # by now: who tells it, and how a rank ends, depends on it
        _leave(world, known or error)
        if known:
            raise known from error
        raise
    finally:
        if not failed:  # else connections end with the process: those of NCCL may wait for those who are gone
            with suppress(Exception):
                dist.destroy_process_group()


def _connect(rank: int, size: int, timeout: timedelta) -> Store:
    """Meet the other ranks, and connect with them; returns the store through which they met."""
    timeout_s = timeout.total_seconds()
    patience = threading.Timer(JOINING * timeout_s, _give_up, (rank, timeout_s))
    patience.daemon = True
    patience.start()
    try:
        store = _meet(rank, size, timeout)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise EnvironmentFault(
            f"rank {rank} of {size} could not reach the others at {where}: {str(error).strip().splitlines()[0]}",
            "look at the addresses and at firewalls; on several hosts, NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME\n"
            "name the network interface",
        ) from error
    finally:
        patience.cancel()
    return store


def _leave(world: World, error: BaseException) -> None:
    """End with an error: tell the other ranks, and let it be told once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it goes by itself, when it has told why
    if isinstance(error, PeerLost):
        world.last_words.await_written()
        time.sleep(LAST_S)
    told_elsewhere = world.last_words.leave(error)
    if _keeps_the_store(world.rank):
        world.last_words.await_all()
    if told_elsewhere and not isinstance(error, GanforgeError):
        sys.exit(128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1)


def _give_up(rank: int, timeout_s: float) -> None:
    """Torch waits several times as long as it was told where a rank goes while all connect."""
    print(
        f"error: rank {rank} could not connect to all others within {JOINING * timeout_s:.0f} s: one of them is gone\n"
        "  see what it said",
        file=sys.stderr,
        flush=True,
    )
    os._exit(PeerLost.exit_code)


def _meet(rank: int, size: int, timeout: timedelta) -> Store:
    """The store through which ranks find each other, under a name of their own.

    A launcher's store outlives the ranks that it restarts: without a name, those who come back would find the addresses
    of the dead. So each rank says hello with a word that nobody has said before, and rank 0 answers it with the name.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=_keeps_the_store(rank), timeout=timeout, wait_for_workers=False)
    if rank:
        word = uuid.uuid4().hex
        store.set(f"ganforge/hello/{rank}", word)
        store.wait([f"ganforge/welcome/{word}"], timeout)
        name = store.get(f"ganforge/welcome/{word}").decode()
        store.add(f"ganforge/met/{name}", 1)
        return PrefixStore(name, store)
    name = uuid.uuid4().hex
    welcomed: dict[int, str] = {}
    end = time.monotonic() + timeout.total_seconds()
    while store.add(f"ganforge/met/{name}", 0) < size - 1:
        for other in range(1, size):
            key = f"ganforge/hello/{other}"
            said = store.get(key).decode() if store.check([key]) else None
            if said is not None and welcomed.get(other) != said:
                store.set(f"ganforge/welcome/{said}", name)
                welcomed[other] = said
        if time.monotonic() > end:
            missing = [other for other in range(1, size) if other not in welcomed]
            who = f"rank {missing[0]} did not come" if missing else "a rank came, and went again,"
            raise RuntimeError(f"{who} within {timeout}")
        time.sleep(MEETING_S)
    return PrefixStore(name, store)


def _keeps_the_store(rank: int) -> bool:
    """Whether the store ends with this process, and not with a launcher."""
    return rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"


def _follow_parent() -> None:
    """End when the launcher is gone, that no rank computes on unwatched: as asked by SIGTERM, with a checkpoint."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)  # a rank that waits for another one hears no signal
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
