"""What plugins may name, and what it takes, is what stands in `public_names.txt`.

A line that goes, or loses a word, breaks plugins of others: that needs a new major version. A line that comes is a
promise. After either, `GANFORGE_GOLDEN=write pytest tests/legacy/test_public_names.py` writes the list anew.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ganforge
import ganforge.images
import ganforge.testing
from ganforge.api import hooks

GOLDEN = Path(__file__).parent / "public_names.txt"


def lines() -> Iterator[str]:
    """A line for each public name, and one for each public name of a class."""
    for module in (ganforge, ganforge.images, ganforge.testing):
        for name in sorted(module.__all__):
            value = getattr(module, name)
            yield from _described(f"{module.__name__}.{name}", value)
    for name, hook in sorted(vars(hooks).items()):
        if hasattr(hook, "ganforge_spec"):
            yield f"hook {name}({_taken(hook)})"


def _described(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        ours = [base for base in value.__mro__ if base.__module__.partition(".")[0] == "ganforge"]
        made = any("__init__" in vars(base) for base in ours) and not getattr(value, "_is_protocol", False)
        yield f"{name}({_taken(value)})" if made else name
        members = {member for base in ours for member in (*vars(base), *inspect.get_annotations(base))}
        for member in sorted(member for member in members if not member.startswith("_")):
            held = getattr(value, member, None)
            yield f"{name}.{member}" + (f"({_taken(held)})" if inspect.isroutine(held) else "")
    else:
        yield f"{name}({_taken(value)})" if inspect.isroutine(value) else name


def _taken(function: Any) -> str:
    """The parameters' names, with a mark at those that need not be given."""
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(f"{p.name}?" if p.default is not p.empty else p.name for p in parameters)


def test_the_public_names_are_those_that_were_promised() -> None:
    found = "".join(f"{line}\n" for line in lines())
    if os.environ.get("GANFORGE_GOLDEN") == "write":
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()
