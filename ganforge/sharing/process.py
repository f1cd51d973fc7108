"""Which process trains a run, so that a record which says `running` can be told from one that was left behind."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What finds this process again: the host, its number there, and, on Linux, when it began."""
    return {"host": platform.node(), "pid": os.getpid(), "began": began(os.getpid())}


def is_gone(process: Mapping[str, Any]) -> bool:
    """Whether the process is known to have ended: of another host's nothing is known."""
    pid = process.get("pid")
    if process.get("host") != platform.node() or not isinstance(pid, int) or os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OverflowError, PermissionError):  # no number of a process; somebody else's
        return False
    return process.get("began") != began(pid)  # numbers are given out again


def is_at_work(process: Mapping[str, Any]) -> bool:
    """Whether it is another process that is known to run, here: without /proc, nothing is known."""
    pid, since = process.get("pid"), process.get("began")
    if process.get("host") != platform.node() or not isinstance(pid, int) or since is None:
        return False
    return pid != os.getpid() and began(pid) == since


def began(pid: int) -> str | None:
    """When a process did: the boot, and the clock ticks from it to then; None if it has ended, or there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # The process's name, which may hold anything, ends at the last bracket; the start is the 22nd field (proc(5)).
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    ended = fields[0] in "ZX"  # and nobody has asked how
    return None if ended else f"{boot} {fields[19]}"
