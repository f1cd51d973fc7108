"""Docstrings in Google's style, read for those who write recipes: what a part does, and what each parameter means."""

from __future__ import annotations

import re

# Torch's docstrings hold reStructuredText: directives such as `.. math::`, roles and links, and defaults once more.
_HEADING = re.compile(r"(Args|Arguments|Returns|Yields|Raises|Examples?|Notes?|Warnings?|Attributes)::?|(\.\.|__) .*")
_MARKUP = re.compile(r":\w+:(?=`)|(?<=`)__?(?!\w)| ?\(default: (?:[^()]|\([^()]*\))*\)")
_ENTRY = re.compile(r"\*{0,2}(\w+)(?: ?\(.*\))?: ?(.*)")


def prose(doc: str) -> str:
    """The text of a docstring without its sections."""
    text = "\n".join(line for heading, line in _lines(doc) if not heading)
    return re.sub(r"\n{3,}", "\n\n", _MARKUP.sub("", text)).strip()


def arguments(doc: str) -> dict[str, str]:
    """What the section `Args:` says of each parameter, on one line."""
    lines = [line for heading, line in _lines(doc) if heading.startswith("Arg") and line.strip()]
    margin = min((_indent(line) for line in lines), default=0)
    found: dict[str, list[str]] = {}
    for line in lines:
        entry = _ENTRY.fullmatch(line.strip()) if _indent(line) == margin else None
        if entry:
            found[entry[1]] = [entry[2]]
        elif found:
            found[next(reversed(found))].append(line.strip())
    return {name: _MARKUP.sub("", " ".join(pieces).strip()) for name, pieces in found.items()}


def _lines(doc: str) -> list[tuple[str, str]]:
    """Each line with the heading of its section, which ends where the indentation does; the text has no heading."""
    found, heading = [], ""
    for line in doc.splitlines():
        if _HEADING.fullmatch(line):
            heading = line
        else:
            if line and not _indent(line):
                heading = ""
            found.append((heading, line))
    return found


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
