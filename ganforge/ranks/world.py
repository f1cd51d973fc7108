"""What ranks decide, and do, together. Alone, all of it costs nothing."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ganforge.ranks import messages
from ganforge.ranks.failure_reports import LastWords, PeerLost

T = TypeVar("T")

PULSE_S = 0.5
DONE, BUSY, FAILED = range(3)


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
    last_words: LastWords = field(default_factory=LastWords, compare=False, repr=False)
    """What ranks say when they end."""

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
        if failure := self.last_words.failure():
            told = f"rank {failure['rank']} on {failure['host']} failed: {failure['message']}"
            return PeerLost(told, traceback=failure["traceback"])
        if "timed out" in str(error).lower():
            why = f"no rank was heard for {self.timeout}"
        elif self.last_words.store:
            why = "a rank is gone without a word: killed, or its host"
        else:
            why = "rank 0 is gone, and its word with it: see what it said, or whether its host is up"
        # Without the place in torch's code before it, and its advice behind it.
        detail = re.sub(r"^\[[^\]]*:\d+\] ", "", next(iter(str(error).strip().splitlines()), "")).partition(". ")[0]
        return PeerLost(why, f"{detail}\ngo on from the last checkpoint with --resume")

    def copy_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give all ranks the values of rank 0's, in place."""
        if self.size == 1:
            return
        with torch.no_grad():
            for tensor in filter(_writable, tensors):
                flat = tensor.resolve_conj().resolve_neg().contiguous().flatten().view(torch.uint8)
                with self.noticing():
                    dist.broadcast(flat, 0)
                if not self.leads:
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
        """The values of all ranks, which can be JSON, in the ranks' order."""
        return self._exchanged(messages.gather_json, value) if self.size > 1 else [value]

    def from_first(self, value: Any) -> Any:
        """The value of rank 0, which can be JSON, at every rank."""
        return self._exchanged(messages.broadcast_json, value) if self.size > 1 else value

    def state_from_first(self, state: Any) -> Any:
        """Rank 0's state: nested, of tensors on the CPU and plain data."""
        return self._exchanged(messages.broadcast, state) if self.size > 1 else state

    def send(self, state: Any, rank: int) -> None:
        """Send a state to a rank, which must receive it."""
        self._exchanged(messages.send, state, rank)

    def receive(self, rank: int) -> Any:
        """Receive what a rank sends."""
        return self._exchanged(messages.receive, rank)

    def _exchanged(self, exchange: Callable[..., Any], *given: Any) -> Any:
        with self.noticing():
            return exchange(*given)

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


def _writable(tensor: torch.Tensor) -> bool:
    """Whether each value has a place of its own: a tensor that was expanded has not, and is a constant."""
    return all(stride or size == 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


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
                self.world.last_words.fail(error)
                self.world.largest(FAILED)


ALONE = World()
