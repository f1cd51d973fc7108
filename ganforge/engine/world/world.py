"""What ranks decide, and do, together. Alone, all of it costs nothing."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Store

from ganforge.engine.world import messages
from ganforge.errors import EnvironmentFault, GanforgeError

T = TypeVar("T")

PULSE_S = 0.5
DONE, BUSY, FAILED = range(3)
FAILURE, TOLD, WRITTEN, LEFT = (f"ganforge/{name}" for name in ("failure", "told", "written", "left"))
WRITING_S = 20.0
"""How long a rank that failed may take to write it down."""
FOLLOWING_S = 3.0
"""How much later others may come to the same error."""


class PeerLost(EnvironmentFault):
    """Another rank is gone, or cannot be reached: this one can only end, and go on from the last checkpoint."""

    exit_code = 75

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback
        """Of the error that ended the other rank, where it left word."""


@dataclass(frozen=True)
class World:
    """The ranks of a training, seen from one of them. What decides or gathers is called by all of them together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """This rank's number among those of its host."""
    local_size: int = 1
    timeout: timedelta = timedelta(minutes=10)
    """How long a rank waits for another one."""

    @property
    def leads(self) -> bool:
        """Whether this is the rank that logs, draws and writes."""
        return self.rank == 0

    @contextmanager
    def noticing(self, among_others: bool = False) -> Iterator[None]:
        """An exchange that fails tells that a rank is lost: torch tells a broken connection as a plain error.

        Args:
            among_others: the block does more than exchange; only errors that speak of an exchange are taken for one.

        Raises:
            PeerLost: a peer is.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or (among_others and not _of_an_exchange(error)):
                raise
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> PeerLost:
        if failure := self._failure():
            told = f"rank {failure['rank']} on {failure['host']} failed: {failure['message']}"
            return PeerLost(told, failure["traceback"])
        late = "timed out" in str(error).lower()
        why = f"no rank was heard for {self.timeout}" if late else "a rank is gone without a word: killed, or its host"
        detail = next(iter(str(error).strip().splitlines()), "")
        return PeerLost(f"{why}\n  {detail}\n  go on from the last checkpoint with --resume")

    def _failure(self) -> dict[str, Any] | None:
        try:
            store = _store()
            store.set_timeout(timedelta(seconds=1))
            return json.loads(store.get(FAILURE)) if store.check([FAILURE]) else None
        except Exception:  # the host that keeps it may be the one that is lost
            return None

    def tell_failure(self, error: BaseException) -> None:
        """Leave word of why this rank ends, for those that will miss it; nothing where another one did."""
        if self.size == 1 or isinstance(error, PeerLost):
            return
        with suppress(Exception):  # the store may be gone
            word = {
                "rank": self.rank,
                "host": socket.gethostname(),
                "message": str(error) or type(error).__name__,
                "traceback": "".join(traceback.format_exception(error)),
            }
            _store().compare_set(FAILURE, "", json.dumps(word))

    def leave_word(self, error: BaseException) -> bool:
        """This rank ends with an error; whether another one tells it.

        What several ranks end with is told by one of them: the others print nothing, or on another host who told it.
        """
        if self.size == 1:
            return False
        rank, lost, host = self.rank, isinstance(error, PeerLost), socket.gethostname()
        self.tell_failure(error)
        with suppress(Exception):  # without the store each tells
            same = "lost" if lost else hashlib.sha256(repr(error).encode()).hexdigest()
            rank, where = json.loads(_store().compare_set(f"{TOLD}/{same}", "", json.dumps([self.rank, host])))
            if rank != self.rank and isinstance(error, GanforgeError):
                short = f"{str(error).splitlines()[0]}\n  rank {rank} on {where} tells more"
                error.instead = short if where != host and self.local_rank == 0 else ""
            if not lost:
                _store().set(WRITTEN, "")
            _store().add(LEFT, 1)
        return rank != self.rank

    def await_word(self) -> None:
        """Where a rank failed, wait until it has written down why: a launcher ends it soon after this one has gone."""
        if self.size > 1 and self._failure():
            with suppress(Exception):
                _store().wait([WRITTEN], timedelta(seconds=WRITING_S))

    def await_all_words(self) -> None:
        """Give others, who may be about to find the same error, the time to see that this rank tells it."""
        limit = time.monotonic() + FOLLOWING_S
        with suppress(Exception):
            while _store().add(LEFT, 0) < self.size and time.monotonic() < limit:
                time.sleep(0.02)

    def copy_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give all ranks the values of rank 0's, in place."""
        if self.size == 1:
            return
        with self.noticing(), torch.no_grad():
            for tensor in tensors:
                flat = tensor.contiguous().flatten().view(torch.uint8)
                dist.broadcast(flat, 0)
                tensor.copy_(flat.view(tensor.dtype).view(tensor.shape))

    def add_up(self, tensor: torch.Tensor) -> None:
        """Sum a tensor over all ranks, in place."""
        if self.size > 1:
            with self.noticing():
                dist.all_reduce(tensor)

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers."""
        if self.size == 1:
            return number
        box = torch.tensor([number])
        with self.noticing():
            dist.all_reduce(box, dist.ReduceOp.MAX)
        return int(box)

    def gather(self, value: Any) -> list[Any]:
        """What can be JSON, of all ranks in their order."""
        if self.size == 1:
            return [value]
        with self.noticing():
            return messages.gather_json(value)

    def from_first(self, value: Any) -> Any:
        """Rank 0's JSON."""
        if self.size == 1:
            return value
        with self.noticing():
            return messages.broadcast_json(value)

    def state_from_first(self, state: Any) -> Any:
        """Rank 0's state: nested, of tensors on the CPU and plain data."""
        if self.size == 1:
            return state
        with self.noticing():
            return messages.broadcast(state)

    def send(self, state: Any, rank: int) -> None:
        """Send a state to a rank, which must receive it."""
        with self.noticing():
            messages.send(state, rank)

    def receive(self, rank: int) -> Any:
        """Receive what a rank sends."""
        with self.noticing():
            return messages.receive(rank)

    def first_alone(self, job: Callable[[], T]) -> T | None:
        """Let rank 0 do something alone, however long it takes; the others wait, and get None.

        Meanwhile all tell each other that they are there: a rank that dies or is cut off is noticed.

        Raises:
            PeerLost: rank 0 failed; or a rank is gone.
        """
        return self._at_once(job if self.leads else None)

    def in_turn(self, job: Callable[[], T]) -> T:
        """Let rank 0 do something first, then the first rank of every other host, and then all others.

        So nothing is downloaded twice, whether hosts share a disk or not.
        """
        mine = 0 if self.leads else 1 if self.local_rank == 0 else 2
        results = [self._at_once(job if turn == mine else None) for turn in range(3 if self.size > 1 else 1)]
        return results[mine]  # type: ignore[return-value]  # the turn in which it was done

    def _at_once(self, job: Callable[[], T] | None) -> T | None:
        """Do a job, where there is one, and return when no rank has one left."""
        if self.size == 1:
            return job() if job else None
        result = None
        if job:
            with _Pulse(self):
                result = job()
        while (state := self.largest(DONE)) == BUSY:
            pass
        if state == FAILED:
            raise self._lost(RuntimeError("another rank failed"))
        return result


def _store() -> Store:
    return dist.distributed_c10d._get_default_store()


def _of_an_exchange(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in ("gloo", "nccl"))


class _Pulse:
    """Says twice a second that this rank is busy, while it does something. Those who wait answer at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stop = threading.Event()
        self.state = BUSY
        self.lost: PeerLost | None = None
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        try:
            while self.state != FAILED and not self.stop.wait(PULSE_S):
                self.state = self.world.largest(BUSY)
        except PeerLost as lost:
            self.lost = lost

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self.thread.join()
        if self.lost:
            raise self.lost
        if self.state == FAILED:
            raise self.world._lost(RuntimeError("another rank failed"))
        if error is not None:
            with suppress(PeerLost):  # its own error is the one to tell
                self.world.tell_failure(error)
                self.world.largest(FAILED)


ALONE = World()
