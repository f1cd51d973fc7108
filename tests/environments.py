"""Environments that tests install into."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path


def share_bytecode(environment: Path) -> None:
    """Let an environment have what Python compiled here: torch alone takes each new one many seconds.

    Python takes a compiled file where the size and the time of its source are those that it was made of, and else
    compiles anew; files that uv links from its cache are the same in all environments.
    """
    here = Path(sysconfig.get_path("purelib"))
    there = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for compiled in here.rglob("__pycache__"):
        package = there / compiled.parent.relative_to(here)
        if package.is_dir():
            (package / "__pycache__").mkdir(exist_ok=True)
            for file in compiled.glob("*.pyc"):
                with suppress(FileExistsError):
                    _link(file, package / "__pycache__" / file.name)


def _link(file: Path, place: Path) -> None:
    """A second name, or a copy on another disk; Python replaces such files, and never changes one."""
    try:
        os.link(file, place)
    except FileExistsError:
        raise
    except OSError:
        shutil.copy2(file, place)
