"""Torch's log: while shapes are rehearsed it prints pages for each that does not fit, which is told at its place."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

RANKS = "torch.distributed"
"""A log that is not withheld: what ranks say of each other is about no rehearsal."""


@contextmanager
def withheld() -> Iterator[None]:
    """What torch logs is not printed for a while, unless `TORCH_LOGS` asks for it; the logs of others are."""
    if os.environ.get("TORCH_LOGS"):
        yield
        return
    names = [name for name in logging.root.manager.loggerDict if name == "torch" or name.startswith("torch.")]
    handlers = [handler for name in names if not name.startswith(RANKS) for handler in logging.getLogger(name).handlers]
    for handler in handlers:
        handler.addFilter(_nothing)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_nothing)


def _nothing(_record: logging.LogRecord) -> bool:
    return False
