"""Why ranks end: the words that they leave for each other, in the store through which they met."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from ganforge.core.torch_internals.processes import Store
from ganforge.errors import EnvironmentFault, GanforgeError
from ganforge.failures.words import words

T = TypeVar("T")

FAILURE, TOLD, WRITTEN, LEFT = (f"ganforge/{name}" for name in ("failure", "told", "written", "left"))
ANSWER_S = 2.0
"""How long the store may take to answer."""
WRITING_S = 20.0
"""How long a rank that failed may take to write it down."""
FOLLOWING_S = 3.0
"""How much later others may come to the same error."""


class PeerLost(EnvironmentFault):
    """Another rank is gone, or cannot be reached: this one can only end, and go on from the last checkpoint."""

    exit_code = 75

    def __init__(self, message: str, cure: str = "", traceback: str = "") -> None:
        super().__init__(message, cure)
        self.traceback = traceback
        """The traceback of the error that ended the other rank, where that left word."""


class LastWords:
    """What a rank says when it ends, and what it finds of others."""

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, store: Store | None = None) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self.store = store
        """The ranks' common store; None where it does not answer, or nobody else is there."""
        self.host = socket.gethostname()

    def failure(self) -> dict[str, Any] | None:
        """What the first rank that failed said: its `rank`, `host`, `message` and `traceback`."""
        word = self._ask(lambda store: store.get(FAILURE) if store.check([FAILURE]) else b"")
        return json.loads(word) if word else None

    def fail(self, error: BaseException) -> None:
        """Say why this rank ends, for those that will miss it; nothing where another one did."""
        word = {
            "rank": self.rank,
            "host": self.host,
            "message": words(error) or type(error).__name__,
            "traceback": "".join(traceback.format_exception(error)),
        }
        if not isinstance(error, PeerLost):
            self._ask(lambda store: store.compare_set(FAILURE, "", json.dumps(word)))

    def leave(self, error: BaseException) -> bool:
        """This rank ends with an error, and has written it down; whether another one tells it.

        What several ranks end with is told by one of them: the others print nothing, or on another host who told it.
        Without a store each of them tells.
        """
        self.fail(error)
        lost = isinstance(error, PeerLost)
        same = "lost" if lost else hashlib.sha256(f"{type(error).__name__} {words(error)}".encode()).hexdigest()
        mine = json.dumps([self.rank, self.host])
        rank, host = json.loads(self._ask(lambda store: store.compare_set(f"{TOLD}/{same}", "", mine)) or mine)
        if isinstance(error, GanforgeError):
            error.instead = self._instead(error, rank, host)
        if not lost:
            self._ask(lambda store: store.set(WRITTEN, ""))
        self._ask(lambda store: store.add(LEFT, 1))
        return bool(rank != self.rank)

    def _instead(self, error: GanforgeError, teller: int, host: str) -> str | None:
        """What this rank prints instead of an error that is told by a rank on a host."""
        if teller == self.rank:
            failure = self.failure() if isinstance(error, PeerLost) else None
            near = failure and failure["host"] == self.host
            return f"rank {failure['rank']} failed, as it says itself" if failure and near else None
        if host == self.host or self.local_rank:
            return ""
        first = next(iter(str(error).splitlines()), type(error).__name__)
        return f"{first}\n  rank {teller} on {host} tells more"

    def await_written(self) -> None:
        """Where a rank failed, wait until it has written down why: a launcher ends it soon after this one has gone."""
        if self.failure():
            self._ask(lambda store: store.wait([WRITTEN], timedelta(seconds=WRITING_S)), WRITING_S + ANSWER_S)

    def await_all(self) -> None:
        """Give others, who may be about to come to the same error, the time to see that this rank tells it."""
        limit = time.monotonic() + FOLLOWING_S
        while (self._ask(lambda store: store.add(LEFT, 0)) or self.size) < self.size and time.monotonic() < limit:
            time.sleep(0.02)

    def _ask(self, question: Callable[[Store], T], limit_s: float = ANSWER_S) -> T | None:
        """What the store answers; None where it does not: its host may be gone, and behind a cut link torch would wait
        for ever."""
        store = self.store
        if store is None:
            return None
        answers: list[T] = []

        def ask() -> None:
            with suppress(Exception):
                answers.append(question(store))

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(limit_s)
        if not answers:
            self.store = None
            return None
        return answers[0]
