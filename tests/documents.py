"""Documents whose code runs.

A block of code whose first line is `# name.ext` is a file; a block of `console` holds commands after `$ `, and below
each what it prints, in which `...` stands for anything.
"""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each block."""
    return BLOCK.findall(page.read_text())


def write_files(page: Path, folder: Path) -> None:
    for _, text in blocks(page):
        if named := re.match(r"# ([\w./-]+\.\w+)\n", text):
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """Each command and what it prints."""
    for language, text in blocks(page):
        if language == "console":
            for piece in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, expected = piece.partition("\n")
                yield command, expected


def check_printed(command: str, expected: str, printed: str) -> None:
    """Compare, with `...` for anything; where nothing is shown, nothing is compared."""
    if expected and not doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS):
        pytest.fail(f"`{command}` printed\n{printed}\nand the page shows\n{expected}")
