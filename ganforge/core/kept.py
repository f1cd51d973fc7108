"""What one run found, and the next need not find again, kept in the user's cache: trials and dry runs."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ganforge.core.machine import cpu_info, processor, versions

KEPT = 500
"""How many findings of a kind are kept: the oldest go."""


def cache_folder() -> Path:
    """The cache of this user: `$GANFORGE_CACHE`, or where the system keeps caches."""
    if given := os.environ.get("GANFORGE_CACHE"):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "ganforge"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/ganforge"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganforge"


def this_machine(device: torch.device) -> dict[str, Any]:
    """What the speed of a step depends on beside the recipe."""
    limits = {name: os.environ[name] for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY") if name in os.environ}
    computes = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    flags = cpu_info("flags") if device.type == "cpu" else ""  # machines in a cloud give one name to several
    return {
        "device": device.type,
        "name": computes,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "flags": flags and hashlib.sha256(flags.encode()).hexdigest()[:12],
        "threads": torch.get_num_threads(),
        "versions": {name: value for name, value in versions([]).items() if name != "torchvision"},
        **limits,
    }


def find(kind: str, about: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was found of a kind of question; None if it was not asked here, or the cache cannot be read."""
    path = _path(kind, about)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found["found"] if isinstance(found, dict) and isinstance(found.get("found"), dict) else None


def keep(kind: str, about: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Keep what was found; where nothing can be written, the next run asks again."""
    path = _path(kind, about)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")  # others may keep the same at the same time
        part.write_text(json.dumps({"about": about, "found": found}, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
        aged = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)
        for old in aged[:-KEPT]:
            old.unlink(missing_ok=True)


def _path(kind: str, about: Mapping[str, Any]) -> Path:
    key = json.dumps(about, sort_keys=True, default=str)
    return cache_folder() / kind / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
