"""Whose code is whose: where plugins lie, and which of their code makes which part."""

from __future__ import annotations

import functools
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol


class Part(Protocol):
    """What is asked of a registered part here: the registry stands above."""

    @property
    def kind(self) -> str: ...
    @property
    def plugin(self) -> str: ...
    @property
    def full_name(self) -> str: ...
    @property
    def factory(self) -> Any: ...


@dataclass(frozen=True)
class Home:
    """Where a plugin's code lies."""

    plugin: str
    origin: str
    """The distribution and its version, or the file."""
    path: str
    """The folder of its package, or its one file."""
    from_file: bool

    def has(self, file: str) -> bool:
        """Whether a file is the plugin's own."""
        return file == self.path or file.startswith(f"{self.path}/") or file.startswith(f"{self.path}\\")

    def __str__(self) -> str:
        return f"the plugin '{self.plugin}' ({self.origin})"


_homes: dict[str, Home] = {}
_parts: dict[tuple[str, str], Part] = {}
"""The parts of plugins, by the file and the qualified name of what makes them."""


def settle(plugin: str, origin: str, module: Any, from_file: bool) -> None:
    """Remember where a plugin's code lies."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        path = Path(file)
        top = sys.modules.get(str(getattr(module, "__name__", "")).partition(".")[0])
        root = getattr(top, "__file__", None)
        if not from_file and isinstance(root, str) and Path(root).name == "__init__.py":
            path = Path(root).parent
        home = Home(plugin, origin, str(path), from_file)
        _homes[home.path] = home


def acquaint(part: Part) -> None:
    """Remember which code makes a part."""
    made = _plain(part.factory)
    code = getattr(made, "__code__", None)
    name = getattr(made, "__qualname__", None)
    file = code.co_filename if isinstance(code, CodeType) else getattr(_module_of(made), "__file__", None)
    if isinstance(name, str) and isinstance(file, str):
        _parts[file, name] = part


def _plain(factory: Any) -> Any:
    """What a factory is without what is wrapped around it."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    return inspect.unwrap(factory) if callable(factory) and inspect.isroutine(factory) else factory


def _module_of(made: Any) -> Any:
    return sys.modules.get(str(getattr(made, "__module__", "")))


def home_of(part: Part) -> Home | None:
    """Where the plugin of a part lies."""
    return next((home for home in _homes.values() if home.plugin == part.plugin), None)


def home_at(file: str) -> Home | None:
    return next((home for home in _homes.values() if home.has(file)), None)


def defined(part: Part) -> str:
    """Where a part's code begins: `defined at my_losses.py:12`."""
    made = _plain(part.factory)
    try:
        file, line = inspect.getsourcefile(made), inspect.getsourcelines(made)[1]
    except (OSError, TypeError):
        return ""
    return f"defined at {file}:{max(1, line)}"


def owner_of(value: Any) -> Part | None:
    """The part that made an object."""
    for made in type(value).__mro__:
        file = getattr(_module_of(made), "__file__", None)
        if part := _parts.get((str(file), made.__qualname__)):
            return part
    return None


def part_at(frame: FrameType | None) -> Part | None:
    """The part whose code a frame runs, or was called by, as far as the plugin's own code goes."""
    while frame is not None and home_at(frame.f_code.co_filename):
        if part := owner_of(frame.f_locals.get("self")):
            return part
        pieces = frame.f_code.co_qualname.split(".")
        for count in range(len(pieces), 0, -1):
            if part := _parts.get((frame.f_code.co_filename, ".".join(pieces[:count]))):
                return part
        frame = frame.f_back
    return None
