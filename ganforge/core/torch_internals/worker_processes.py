"""The worker processes of a data loader's iterator."""

from __future__ import annotations

from typing import Any


def workers_of(iterator: Any) -> list[Any]:
    """Its processes, whether they live or not."""
    return iterator._workers


def shut_down(iterator: Any) -> None:
    """Let them end."""
    iterator._shutdown_workers()
