"""Errors that name the fault, show where it was written, and offer the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


class GanforgeError(Exception):
    """An error that a user can act on: printed without a traceback, ends the command with `exit_code`.

    Args:
        message: what is wrong, and where.
        cure: what to do; each line of it stands below the message, indented.
    """

    exit_code = 2
    instead: str | None = None
    """What to print instead, if anything, where another rank of the training tells the same."""

    def __init__(self, message: str = "", cure: str = "") -> None:
        first, *below = message.split("\n")
        if not cure and all(line.startswith("  ") for line in below):  # as plugins for 0.1.0 wrote it
            message, cure = first, "\n".join(line[2:] for line in below)
        super().__init__(message, cure)
        self.message, self.cure = message, cure

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {line}" for line in self.cure.splitlines())])


class UsageError(GanforgeError):
    """The command was asked for something that does not fit."""


class EnvironmentFault(GanforgeError):
    """The machine lacks something: data, a device, disk, network."""

    exit_code = 3


class BadFile(EnvironmentFault):
    """One file of the data cannot be used: missing, broken, or of another kind than it should be."""


class TrainingFailed(GanforgeError):
    """Training went wrong: a loss became NaN, a part returned what it must not."""

    exit_code = 4
    record: Path | None = None
    """The file that has the whole traceback."""

    def __str__(self) -> str:
        return super().__str__() + (f"\n  the whole traceback is in {self.record}" if self.record else "")


@dataclass(frozen=True)
class Source:
    """A text that values were read from: a recipe file, or one override of the command line."""

    name: str
    text: str


@dataclass(frozen=True)
class Mark:
    """Where a value was written: a place of `width` characters in a source; line and column count from 0."""

    source: Source
    line: int
    column: int
    width: int = 1

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line + 1}:{self.column + 1}"

    def shifted(self, columns: int, width: int) -> Mark:
        """The mark of a piece inside this one-line value."""
        return Mark(self.source, self.line, self.column + columns, width)

    def excerpt(self) -> str:
        """The line, and below it a caret under the place; of a long line what stands around the place."""
        lines = self.source.text.splitlines()
        line = lines[self.line] if self.line < len(lines) else ""
        line, column = _clip(line, self.column)
        width = max(1, min(self.width, len(line) - column))
        # A tab in front of the caret keeps both lines aligned whatever the terminal's tab width.
        indent = "".join("\t" if c == "\t" else " " for c in line[:column].ljust(column))
        return f"{line}\n{indent}{'^' * width}"


@dataclass(frozen=True)
class Problem:
    """One fault of a recipe: what is wrong, where, and what to do."""

    message: str
    mark: Mark | None = None
    cure: str = ""

    def __str__(self) -> str:
        lines = [f"{self.mark}: {self.message}" if self.mark else self.message]
        if self.mark:
            lines += [f"  {line}" for line in self.mark.excerpt().splitlines()]
        lines += [f"  {line}" for cure in self.cure.splitlines() for line in _wrap(cure)]
        return "\n".join(lines)


class RecipeError(GanforgeError):
    """All the faults that were found in a recipe, in the order of its lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        unique = list(dict.fromkeys(problems))  # an aliased block is read once per alias
        self.problems = tuple(sorted(unique, key=_place))
        super().__init__("\n\n".join(map(str, self.problems)))


def _place(problem: Problem) -> tuple[str, int, int]:
    mark = problem.mark
    return (mark.source.name, mark.line, mark.column) if mark else ("", 0, 0)


def last_line(error: Exception) -> str:
    """The last line of what an error says, or else its kind."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an error's own code may fail
        lines = []
    return (lines or [type(error).__name__])[-1].strip()


LINE = 120  # characters of a recipe's line that are shown
CURE = 100  # characters after which a list of names goes on in the next line


def _clip(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around a column, and where the column is in it."""
    if len(line) <= LINE:
        return line, column
    start = max(0, min(column - LINE // 2, len(line) - LINE))
    head, tail = "..." if start else "", "..." if start + LINE < len(line) else ""
    return f"{head}{line[start : start + LINE]}{tail}", column - start + len(head)


def _wrap(text: str) -> Iterator[str]:
    """Long enumerations over several lines, broken after a comma."""
    line = ""
    for piece in text.split(", "):
        if line and len(line) + len(piece) > CURE:
            yield f"{line},"
            line = f"  {piece}"
        else:
            line = f"{line}, {piece}" if line else piece
    yield line


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a misspelt one may have meant."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1)), None)


def suggest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """The cure for an unknown word: the nearest known one, else the list of them, else `otherwise`."""
    names = sorted(known)
    if near := nearest(word, names):
        return f"did you mean '{near}'?"
    return f"known: {', '.join(names)}" if names else otherwise


def misspelt(message: str, word: str, known: Iterable[str], mark: Mark, otherwise: str | None = None) -> Problem:
    """The problem of an unknown word: a near one stands in the message, else the known ones in the cure.

    `otherwise` is a cure in place of the known ones.
    """
    names = sorted(known)
    if near := nearest(word, names):
        return Problem(f"{message}; did you mean '{near}'?", mark)
    return Problem(message, mark, suggest(word, names) if otherwise is None else otherwise)
