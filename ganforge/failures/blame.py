"""Whose fault an error is: what a plugin's part does wrong is told with the part and the line in the plugin's own file.

Where the engine calls a part, it says so: `with blame("the op 'past_b' cannot be called", use): ...`. An error that
passes is given a note of it; what must not pass as it is, such as `SystemExit`, or a `StopIteration` that would end a
loop of the engine without a word, becomes a `PartFailed`. Whoever tells the error asks `fault_of` for the rest.
"""

from __future__ import annotations

import linecache
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from ganforge.errors import EnvironmentFault, GanforgeError, Mark, UsageError
from ganforge.failures.exhaustion import ELSEWHERE, exhausted
from ganforge.failures.fault import Fault, PartFailed
from ganforge.failures.homes import Home, Part, defined, home_at, home_of, owner_of, part_at
from ganforge.failures.words import chain, said, words

WHOLE = "GANFORGE_DEBUG=1 shows the whole traceback"
OURS = str(Path(__file__).parents[1])
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
CHECKS = {
    "losses": "check_loss",
    "networks": "check_network",
    "ops": "check_op",
    "datasets": "check_dataset",
    "augmentations": "check_augmentation",
}
ADVICE = {
    "SystemExit": "a part must not end Python: let it raise an error that says what is wrong",
    "StopIteration": "next(...) found nothing more: give it a default, next(values, None), or loop with for",
    "GeneratorExit": "a part must not raise what Python ends generators with",
    "RecursionError": "it calls itself without end",
    "NotImplementedError": "write the method",
}
"""What an author can do, by the name of an error."""


class Note(str):
    """What was being done when an error passed, with the part that did it."""

    part: Part | None = None
    mark: Mark | None = None


class blame:  # noqa: N801 - read as a verb: `with blame(...)`
    """Say of an error that passes what could not be done, and which part it was.

    Args:
        what: "the loss 'cycle_a' of player 'generators' cannot be computed".
        use: the part, with the place in the recipe where it is named: anything with `part` and `mark`.
        place: finds another place in the recipe; it is asked only if something is wrong.
    """

    __slots__ = ("place", "use", "what")

    def __init__(self, what: str, use: Any = None, place: Callable[[], Mark | None] | None = None) -> None:
        self.what, self.use, self.place = what, use, place

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, GanforgeError | KeyboardInterrupt):
            return
        note = Note(self.what)
        note.part = getattr(self.use, "part", None)
        note.mark = (self.place() if self.place else None) or getattr(self.use, "mark", None)
        passes = isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration)
        if not (passes and _noted(error, note)):
            failed = PartFailed(said(error))
            _noted(failed, note)
            raise failed from error


def _noted(error: BaseException, note: Note) -> bool:
    """Whether an error could be given a note: one may let nothing be set on it."""
    try:
        BaseException.add_note(error, note)
        error.__traceback__ = error.__traceback__  # as `contextlib` does
    except Exception:
        return False
    return True


def refuse(message: str, use: Any) -> PartFailed:
    """The error of a part that gave what it must not: no line of its code raised anything, so its definition is told.

    `use` is as that of `blame`.
    """
    failed = PartFailed(message)
    note = Note("")
    note.part, note.mark = getattr(use, "part", None), getattr(use, "mark", None)
    _noted(failed, note)
    return failed


def at(error: BaseException) -> str:
    """The line of a plugin that raised, to stand behind an error's words; nothing where none did."""
    fault = fault_of(error)
    return f" ({fault.where.partition(chr(10))[0].removeprefix('raised ')})" if fault.own else ""


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    """The frames that an error passed, the innermost first."""
    found: list[tuple[FrameType, int]] = []
    trace = error.__traceback__
    while trace is not None:
        found.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return reversed(found)


def _own(error: BaseException) -> tuple[Home, FrameType, int] | None:
    """The innermost frame of a plugin's code."""
    for each in chain(error):
        for frame, line in _frames(each):
            if home := home_at(frame.f_code.co_filename):
                return home, frame, line
    return None


def fault_of(error: BaseException) -> Fault:
    """What there is to tell of an error that a part caused."""
    if isinstance(error, PartFailed) and error.fault:
        fault = error.fault
        more = [note for note in _notes(error) if note]
        return replace(fault, what=(*map(str, more), *fault.what)) if more else fault
    noted = _notes(error)
    own = _own(error)
    part = part_at(own[1]) if own else None
    innermost = next((note for note in reversed(noted) if note.part), None)  # the narrowest
    if part is None and innermost is not None and (own is None or innermost.part.plugin == own[0].plugin):  # type: ignore[union-attr]
        part = innermost.part
    if part is None and own is None:
        part = _at_hand(error)
    home = own[0] if own else home_of(part) if part else None
    mark = next((note.mark for note in reversed(noted) if note.mark and (part is None or note.part == part)), None)
    told = said(error)
    lines = [_where(error, own)] if own or not isinstance(error, PartFailed) else []
    lines += [] if own or part is None else [defined(part)]
    if own and not words(error) and isinstance(error, AssertionError):
        _, frame, line = own
        told = f"{told}: {linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()}"
    return Fault(
        what=tuple(str(note) for note in reversed(getattr(error, "__notes__", None) or ()) if note),
        said=told,
        where="\n  ".join(line for line in lines if line),
        own=own is not None,
        part=part.full_name if part else "",
        home=str(home) if home else "",
        advice=_advice(error, part, home),
        mark=mark,
        report=_report(error),
    )


def of_a_part(error: BaseException) -> bool:
    """Whether an error is what a plugin did. A command of a plugin may well end Python; nothing else of it may."""
    if isinstance(error, SystemExit) and not _by_a_part(error):
        return False  # ours, perhaps while a part was at work: after a second Ctrl-C
    if isinstance(error, PartFailed) or any(note.part for note in _notes(error)) or _at_hand(error):
        return True
    own = _own(error)
    if own is None or not isinstance(error, SystemExit):
        return own is not None
    frame: FrameType | None = own[1]
    while frame is not None and not frame.f_code.co_filename.startswith(OURS):
        if frame.f_globals.get("__name__") == "click.core":
            return False
        frame = frame.f_back
    return frame is not None


def _by_a_part(error: BaseException) -> bool:
    """Whether an error was raised below a plugin's code, and not by our own."""
    files = [frame.f_code.co_filename for frame, _ in _frames(error)]
    return any(map(home_at, files)) and not files[0].startswith(OURS)


def _at_hand(error: BaseException) -> Part | None:
    """The part whose object was at hand when an error was raised outside its code: it was not as it should be."""
    for each in chain(error):
        for frame, _ in _frames(each):
            for value in list(frame.f_locals.values()):
                if part := owner_of(value):
                    return part
            if frame.f_code.co_filename.startswith(OURS):
                break  # what others hold has less to do with it
    return None


def _notes(error: BaseException) -> list[Note]:
    """The notes of `blame`, the widest first."""
    return [note for note in reversed(getattr(error, "__notes__", None) or ()) if isinstance(note, Note)]


def _where(error: BaseException, own: tuple[Home, FrameType, int] | None) -> str:
    """Where an error was raised, without lines of libraries, and from which line of the plugin."""
    line = own and _at(own[1], own[2])
    for each in chain(error):
        for frame, number in _frames(each):
            file = frame.f_code.co_filename
            if line and frame is own[1]:  # type: ignore[index]
                return f"raised at {line}"
            if not _of_a_library(file) and (own is None or not file.startswith(OURS)):
                called = f"\n  called at {line}" if line else ""
                return f"raised at {_at(frame, number)}{called}"
    return f"raised at {line}" if line else ""


def _at(frame: FrameType, line: int) -> str:
    return f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"


def _of_a_library(file: str) -> bool:
    """Whether code is installed, and no plugin's."""
    return file.startswith(LIBRARIES) or file.startswith("<") or ("site-packages" in file and not home_at(file))


def _advice(error: BaseException, part: Part | None, home: Home | None) -> str:
    """What can be done, by whom."""
    names = {type(each).__name__ for each in chain(error)}
    found = [advice for name, advice in ADVICE.items() if name in names]
    if home is None:
        return "; ".join(found)
    check = CHECKS.get(part.kind) if part else None
    alone = f"; ganforge.testing.{check} tries it alone" if check else ""
    mend = "mend it there" if home.from_file else f"tell the authors of {home.origin}, or take another release of it"
    return "; ".join([*found, f"{mend}{alone}"])


def _report(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # what an error's own code makes of being printed
        return said(error)


def described(error: Exception) -> str:
    """What was raised, and the line of the part's code that did it."""
    told = words(error) if type(error) is ValueError and words(error) else said(error)
    where = fault_of(error).where.partition("\n")[0].removeprefix("raised at ")
    return f"{told} (at {where})" if where else told


def told(error: BaseException) -> GanforgeError | None:
    """The error in words for whoever can do something about it; None where it is neither of both."""
    if isinstance(error, GanforgeError | KeyboardInterrupt):
        return None
    of_part, fault = of_a_part(error), fault_of(error)
    lines = [*fault.lines, WHOLE] if of_part else []
    if isinstance(error, Exception) and (out := exhausted(error, ELSEWHERE)):
        return (UsageError if of_part else EnvironmentFault)(out.message, "\n".join([out.cure, *fault.what, *lines]))
    return UsageError(fault.headline, "\n".join(lines)) if of_part else None
