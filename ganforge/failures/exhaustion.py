"""What a machine runs out of: memory, shared memory, open files, disk. Each library says it in its own way."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ganforge.failures.fault import PartFailed
from ganforge.failures.words import chain, words

SMALLER = (
    "lower data.batch_size (run.accumulate keeps the mathematics), the image size or the networks'\n"
    "channels, or set run.precision=bf16"
)
"""What takes less memory in training."""
ELSEWHERE = "take smaller pictures or networks, another device, or close what else runs here"
"""What takes less memory in other commands."""
TILES = "try smaller tiles (--tile 256), or fewer pictures at a time (--batch 1)"
"""What takes less memory in translating."""
TEMPORARY = "make room, or name another folder: TMPDIR=/path/to/one ganforge ...; data.workers=0 needs none"
NO_MEMORY = ("can't allocate memory", "out of memory", "unable to allocate", "cannot allocate memory", "bad_alloc")
TOO_LARGE = ("storage size calculation overflowed", "numel: integer multiplication overflow", "exceeds memory limit")
NO_SHARED = ("shared memory object", "allocate shared memory", "write to file </torch_", "bus error", "resize file <")
NO_FILES = ("too many open files", "received 0 items of ancdata")
NO_TEMP = ("no usable temporary directory", "af_unix path too long")
UNITS = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40, "PiB": 50, "EiB": 60}


class Exhausted(NamedTuple):
    """What has run out, and what to do."""

    message: str
    cure: str


def exhausted(error: BaseException, cure: str = SMALLER) -> Exhausted | None:
    """What has run out, with figures and cures; None where an error is of another kind.

    Args:
        error: whatever was raised.
        cure: what takes less memory here.
    """
    for each in chain(error):
        text = words(each).lower()
        number = each.errno if isinstance(each, OSError) else None
        if number in (errno.EMFILE, errno.ENFILE) or any(sign in text for sign in NO_FILES):
            return _files()
        if any(sign in text for sign in NO_SHARED):
            return Exhausted("shared memory is full", _shared_cure())
        if any(sign in text for sign in NO_TEMP):
            return Exhausted(f"there is no place for temporary files: {words(each)}", TEMPORARY)
        if number in (errno.ENOSPC, errno.EDQUOT) and isinstance(each, OSError):
            return _disk(each)
        if number == errno.ENOMEM or isinstance(each, MemoryError) or _speaks_of_memory(each, text):
            return _memory(each, cure)
    return None


def _speaks_of_memory(error: BaseException, text: str) -> bool:
    signs = isinstance(error, RuntimeError | PartFailed) and any(sign in text for sign in (*NO_MEMORY, *TOO_LARGE))
    return signs or type(error).__name__ == "OutOfMemoryError"


def _memory(error: BaseException, cure: str) -> Exhausted:
    """Which memory has run out, what to do, how much was asked for, and how much there is."""
    text = words(error)
    on_device = type(error).__name__ == "OutOfMemoryError"
    if asked := _asked(text):
        wanted = f"{readable(asked)} were asked for"
    elif any(sign in text.lower() for sign in TOO_LARGE):
        wanted = "more was asked for than a number can say"
    else:
        wanted = ""
    if on_device:
        found = re.search(r"total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free", text)
        there = f"the device has {found[1]}, {found[2]} of them free" if found else ""
    else:
        there = machine_memory()
    figures = "; ".join(each for each in (wanted, there) if each)
    head = f"the {'device' if on_device else 'machine'} ran out of memory"
    return Exhausted(head, "\n".join(each for each in (cure, figures) if each))


def _asked(text: str) -> float | None:
    """The bytes that an error says were asked for."""
    if found := re.search(r"(?:allocate|allocating) (\d+) bytes", text):
        return float(found[1])
    if found := re.search(r"allocate ([\d.]+) (B|KiB|MiB|GiB|TiB|PiB|EiB)\b", text):
        return float(found[1]) * 2 ** UNITS[found[2]]
    return None


def readable(size: float) -> str:
    """Bytes as a person reads them: `1.5 GiB`."""
    for unit, shift in reversed(UNITS.items()):
        if size >= 2**shift:
            return f"{size / 2**shift:.3g} {unit}"
    return f"{size:.0f} B"


def machine_memory() -> str:
    """How much memory this machine has, and how much of it is free; `this machine has 31 GiB, 20 GiB of them free`."""
    total, free = _total(), free_memory()
    told = f"this machine has {readable(total)}" if total else "how much this machine has is not known"
    return f"{told}, {readable(free)} of them free" if total and free is not None else told


def _total() -> float | None:
    """What this process may have: of the machine, of its container, and by its own limit the least."""
    limits: list[float] = []
    with suppress(ValueError, OSError, AttributeError):
        limits.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limits.append(float(Path(file).read_text()))
    if own := _limit("RLIMIT_AS"):
        limits.append(own)
    return min(limits, default=None)


def _limit(name: str) -> int | None:
    with suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        soft = resource.getrlimit(getattr(resource, name))[0]
        return None if soft == resource.RLIM_INFINITY else soft
    return None


def free_memory() -> float | None:
    """Bytes that a new allocation can have without swapping; None where the system does not say."""
    with suppress(OSError, ValueError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return float(found[1]) * 1024 if found else None
    return None


def _files() -> Exhausted:
    limit = _limit("RLIMIT_NOFILE")
    have = f": this process may have {limit}" if limit else ""
    return Exhausted(
        f"too many files are open{have}",
        "raise the limit in the shell, ulimit -n 65536, or lower data.workers: each batch that waits holds some;\n"
        "a dataset that opens files should close them, with open(...) as file",
    )


def _shared_cure() -> str:
    """What to do where worker processes cannot hand their batches over."""
    cure = "lower data.workers or data.batch_size, or set data.workers=0"
    with suppress(OSError):
        usage = shutil.disk_usage("/dev/shm")
        size = f"/dev/shm has {readable(usage.total)}, {readable(usage.free)} of them free"
        return f"{size}: give the container more (docker run --shm-size 8g),\n{cure}"
    return cure


def _disk(error: OSError) -> Exhausted:
    place = error.filename if isinstance(error.filename, str) else None
    at = f" at {place}" if place else ""
    if place and Path(tempfile.gettempdir()) in Path(place).absolute().parents:
        return Exhausted(f"there is no room for temporary files{at}", TEMPORARY)
    return Exhausted(f"the disk is full{at}", "make room, or write elsewhere")


# Workers


def worker_lost(error: BaseException) -> bool:
    """Whether torch misses a loading worker."""
    return any(isinstance(each, RuntimeError) and "DataLoader worker (pid" in words(each) for each in chain(error))


def lost_worker_told(pid: int, exitcode: int | None) -> str:
    """Why a loading worker may be gone, and what to do.

    Args:
        pid: its process.
        exitcode: as `multiprocessing` has it: negative for a signal; None where it is not known.
    """
    if exitcode is None:
        how = "is gone"
    elif exitcode < 0:
        how = f"was killed by signal {-exitcode} ({_signal(-exitcode)})"
    else:
        how = f"ended by itself with exit code {exitcode}"
    return "\n".join([f"a loading worker, process {pid}, {how}", *_worker_cures(exitcode)])


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return "unknown"


def _worker_cures(exitcode: int | None) -> Iterator[str]:
    killed = -(exitcode or 0)
    if killed == signal.SIGKILL:
        yield f"  mostly the system does that where memory runs out; {machine_memory()}:"
        yield "  lower data.workers, data.batch_size or what the dataset keeps in memory (data.cache)"
    elif sys.platform != "win32" and killed == signal.SIGBUS:
        yield "  that is how shared memory runs out"
        yield from (f"  {line}" for line in _shared_cure().splitlines())
    elif killed in (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE):
        yield "  code outside Python crashed, such as a decoder on a broken picture: data.workers=0 shows at which line"
        yield "  (with PYTHONFAULTHANDLER=1), `ganforge data inspect` finds broken pictures"
    else:
        yield "  data.workers=0 loads in the process that trains, and shows what goes wrong"
