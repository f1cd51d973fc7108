"""Commands in this process with a plugin of which one part misbehaves: `tests/fuzz/odd.py`."""

from __future__ import annotations

import contextlib
import io
import json
import random
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganforge.cli import main

ODD = Path(__file__).parent / "fuzz"
LIMIT_S = 600
"""A command that takes longer hangs."""


def outcome(command: str, *arguments: Any, odd: dict[str, Any] | None = None) -> tuple[int, str]:
    """The exit code of a command in this process, and what it said."""
    said = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(said),
        as_before(),
    ):
        patch.setenv("GANFORGE_PLUGINS", "")
        patch.setenv("ODD", json.dumps(odd or {}))
        with pytest.raises(SystemExit) as ended, limited():
            main([command, *map(str, arguments), "-p", str(ODD / "odd.py")])
    sys.modules.pop("odd", None)
    return int(ended.value.code or 0), said.getvalue()


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """What a part may have changed in the process is put back."""
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """An end for what hangs, where the system has alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def hangs(*_: Any) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
