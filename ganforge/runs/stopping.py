"""Signals that ask a run to end early: Ctrl-C, and a scheduler's SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ganforge.ranks import World


class Stopping:
    """Whether the run was asked to end; of several ranks one is enough, and all end after the same step."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.signal: signal.Signals | None = None

    def asked(self) -> bool:
        """Whether a rank was asked to stop; all ranks call it together."""
        if number := self.world.largest(self.signal or 0):
            self.signal = signal.Signals(number)
        return bool(number)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note signals instead of dying of them; a second Ctrl-C interrupts at once.

        One of several ranks is deaf to SIGTERM from then on: a launcher sends it as soon as another rank has ended, and
        this one has yet to tell why it ends.
        """
        heard: list[int] = []

        def note(number: int, _frame: object) -> None:
            # Of a second Ctrl-C torch's launcher makes a SIGTERM.
            again = number == signal.SIGINT or (self.world.size > 1 and signal.SIGINT in heard)
            if heard and again:
                raise KeyboardInterrupt
            heard.append(number)
            self.signal = signal.Signals(number)

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                deaf = number == signal.SIGTERM and self.world.size > 1
                signal.signal(number, signal.SIG_IGN if deaf else handler)
