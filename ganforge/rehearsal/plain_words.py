"""What a rehearsal says of values and of errors, for a reader of recipes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ganforge.failures.blame import fault_of
from ganforge.failures.words import said, words


def describe(value: Any) -> str:
    """A value's shape, or what it is, for an error; nothing where it could not be computed."""
    if isinstance(value, Tensor):
        return str(list(value.shape))
    if isinstance(value, list | tuple):
        return f"({', '.join(map(describe, value))})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} {describe(item)}' for key, item in value.items())}}}"
    if isinstance(value, nn.Module):
        return type(value).__name__
    return "" if value is None else short(repr(value))


def describe_kind(value: Any) -> str:
    """What a value is and what it offers, for an error."""
    if isinstance(value, Tensor):
        return f"a tensor {describe(value)}"
    if fields := getattr(value, "_fields", None):
        return f"made of {' and '.join(fields)}"
    kinds = {tuple: "a tuple", list: "a list", dict: "a mapping", float: "a plain number", int: "a plain number"}
    return kinds.get(type(value), "nothing" if value is None else f"a {type(value).__name__}")


# What torch says, and what a reader of recipes is told.
_PLAIN_WORDS = (
    (
        re.compile(r"Given (?:groups|transposed)=.* expected input(\[.*?\]) to have (\d+) channels, but got (\d+).*"),
        r"its layer takes \2 channels, but \1 has \3",
    ),
    (
        re.compile(r"Expected more than 1 spatial element when training, got input size torch\.Size\((\[.*\])\)"),
        r"nothing but one pixel is left to normalise, \1; the images are too small for the network",
    ),
    (re.compile(r".*\(\) missing \d+ required positional arguments?: (.*)"), r"it needs the argument \1"),
    (re.compile(r".*\(\) takes (?:from )?\d.* positional arguments? but \d+ w\w+ given"), "it takes fewer arguments"),
    (re.compile(r".*\(\) got an unexpected keyword argument ('.*')"), r"it has no argument \1"),
    (re.compile(r"torch\.Size\((\[.*?\])\)"), r"\1"),
)


def in_plain_words(error: Exception) -> str:
    """What an error says, in one line."""
    lines = words(error).splitlines()
    text = lines[0] if lines else type(error).__name__
    if _is_misfit(error):
        for pattern, plain in _PLAIN_WORDS:
            text = pattern.sub(plain, text)
        return text
    return text if isinstance(error, RuntimeError | ValueError | TypeError) else said(error).splitlines()[0]


def _is_misfit(error: Exception) -> bool:
    """Whether what is given does not fit, as torch and Python say it: no line of the part is wrong."""
    return any(pattern.search(words(error)) for pattern, _ in _PLAIN_WORDS)


def with_place(cure: str, error: Exception) -> str:
    """The cure, with the line of a plugin that raised."""
    fault = fault_of(error)
    lines = [] if _is_misfit(error) or not fault.own else replace(fault, mark=None).lines
    return "\n".join(line for line in (cure, *lines) if line)


def short(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= 60 else text[:57] + "..."
