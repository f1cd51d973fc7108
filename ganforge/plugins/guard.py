"""Keeping the process as it is while foreign code is loaded: installing a plugin changes no run."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch


def _set_default_device(device: torch.device) -> None:
    # Without a default device torch intercepts no calls.
    torch.set_default_device(None if device.type == "cpu" else device)


def _set_matmul_precision(precision: str) -> None:
    torch.backends.mkldnn.matmul.fp32_precision = precision  # type: ignore[attr-defined]


def _set_visible_gpus(names: str | None) -> None:
    if names is None:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = names


# What a run computes depends on these too. Seeds, kernels and signals are not here: a run sets them itself.
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, _set_default_device),
    "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's precision of matrix products": (
        lambda: torch.backends.mkldnn.matmul.fp32_precision,  # type: ignore[attr-defined]
        _set_matmul_precision,
    ),
    "CUDA_VISIBLE_DEVICES": (lambda: os.environ.get("CUDA_VISIBLE_DEVICES"), _set_visible_gpus),
}


@contextlib.contextmanager
def undisturbed() -> Iterator[list[str]]:
    """Run foreign code, then put back the settings of the process that it changed, and the filters of warnings.

    What it prints goes to standard error: standard output belongs to the command.

    Yields:
        a list, which at the end holds the names of the settings that were put back.
    """
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    changed: list[str] = []
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        try:
            yield changed
        finally:
            for name, (read, write) in SETTINGS.items():
                if read() != before[name]:
                    write(before[name])
                    changed.append(name)
