"""The stores through which ranks meet, which torch names in public, but its types do not; and a loader's workers."""

from __future__ import annotations

from typing import Any

from torch._C._distributed_c10d import PrefixStore as PrefixStore
from torch._C._distributed_c10d import Store as Store
from torch._C._distributed_c10d import TCPStore as TCPStore


def workers_of(iterator: Any) -> list[Any]:
    """The processes of a loader's iterator, whether they live or not."""
    return iterator._workers


def shut_down(iterator: Any) -> None:
    """Let the processes of a loader's iterator end."""
    iterator._shutdown_workers()
