"""What an error says, in words that can be shown."""

from __future__ import annotations

from collections.abc import Iterator

from ganforge.failures.fault import PartFailed

LINES = 6
"""How many lines of an error are told: what torch's C++ says goes on with its own stack."""
STACKS = ("Exception raised from ", "C++ CapturedTraceback", "frame #0")


def said(error: BaseException) -> str:
    """An error's type and words: `ZeroDivisionError: by design`; whatever its own code does when it is asked."""
    if isinstance(error, PartFailed):
        return error.message
    name, text = type(error).__name__, words(error)
    if isinstance(error, BaseExceptionGroup):
        text = f"{text}: {'; '.join(said(each) for each in error.exceptions[:3])}"
    return f"{name}: {text}" if text else name


def words(error: BaseException) -> str:
    """The first lines of what an error says, without the stack of torch's C++."""
    try:
        text = str(error)
    except Exception as inner:
        return f"(its own words cannot be read: {type(inner).__name__})"
    for stack in STACKS:
        text = text.partition(stack)[0]
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    return "\n".join(lines[:LINES])


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from."""
    seen: set[int] = set()
    open_errors: list[BaseException] = [error]
    while open_errors and len(seen) < 100:
        each = open_errors.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inner = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        open_errors += [e for e in (each.__cause__, each.__context__, *inner) if e is not None]
