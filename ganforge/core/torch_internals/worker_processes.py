"""The worker processes of a data loader's iterator."""

from __future__ import annotations

from typing import Any


def workers_of(iterator: Any) -> list[Any]:
    """The processes of a loader's iterator, whether they live or not."""
    return iterator._workers


def shut_down(iterator: Any) -> None:
    """Let the processes of a loader's iterator end."""
    iterator._shutdown_workers()
