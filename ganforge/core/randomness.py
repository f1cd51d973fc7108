"""Every seed, and the states of every random generator."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def derive_seed(seed: int, *path: str | int) -> int:
    """A seed for one purpose: adding a network must not change the weights that another one starts from."""
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_all(seed: int) -> None:
    """Seed every global random generator."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def host_generators() -> tuple[Any, ...]:
    """The states of Python's and NumPy's global random generators, to be compared and restored."""
    kind, keys, *others = np.random.get_state(legacy=True)
    return random.getstate(), (kind, tuple(map(int, keys)), *others)


def restore_host_generators(states: tuple[Any, ...]) -> None:
    """Put the generators of the host back to these states."""
    random.setstate(states[0])
    np.random.set_state(states[1])


def random_state() -> dict[str, Any]:
    """The state of every global random generator: Python's, NumPy's, and torch's on the CPU and this process's GPU."""
    numpy_state = np.random.get_state(legacy=False)
    numpy_state["state"]["key"] = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    return {
        "python": random.getstate(),
        "numpy": numpy_state,
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put every global random generator back to where it was."""
    random.setstate(state["python"])
    numpy_state = {**state["numpy"], "state": dict(state["numpy"]["state"])}
    numpy_state["state"]["key"] = numpy_state["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state(numpy_state)
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        # The current device's, whatever its number was when it was saved.
        torch.cuda.set_rng_state(state["cuda"][0])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
