"""What the numbers of a run depend on beside its recipe: the machine, and the versions of what computes."""

from __future__ import annotations

import datetime
import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def now() -> str:
    """The time, as `run.json` writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers of a run depend on beside its recipe."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        **({"processor": processor()} if device.type == "cpu" else {}),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def processor() -> str:
    """The CPU's name, as its maker gives it."""
    return cpu_info("model name").partition(":")[2].strip() or platform.processor() or platform.machine()


@cache
def cpu_info(entry: str) -> str:
    """The line of an entry in what Linux says of the first CPU; empty where there is none."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next((line for line in lines if line.startswith(entry)), "")
    return ""


def versions(distributions: list[str]) -> dict[str, str]:
    """The versions of what computes."""
    found = {}
    for name in ("ganforge", "torch", "torchvision", *distributions):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "a plain file"
    return found
