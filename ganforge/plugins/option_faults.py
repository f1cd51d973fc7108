"""What is wrong with the options of a part, or with settings: pydantic's findings in a recipe's words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic
from pydantic_core import ErrorDetails


@dataclass(frozen=True)
class Fault:
    """One option that does not fit: `path` leads to it, `kind` is `unknown`, `missing` or `bad`."""

    path: tuple[str | int, ...]
    kind: str
    message: str


def faults(error: pydantic.ValidationError, given: Mapping[str, Any] | None = None) -> Iterator[Fault]:
    """What pydantic found, in a recipe's words; what the members of a union wanted makes one fault.

    Args:
        error: its findings.
        given: what was checked. Where it is known, each step of a path is one that leads somewhere in it.
    """
    found: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail, given)
        if detail["type"] == "missing" and isinstance(path[-1], int):
            path = path[:-1]  # a tuple's missing entry is a fault of the tuple
        found.setdefault(path, []).append(detail)
    for path, details in found.items():
        inner = any(other[: len(path)] == path for other in found if len(other) > len(path))
        if not inner:  # of a union's members the one that fits best failed deepest
            kind = {"extra_forbidden": "unknown", "missing": "missing"}.get(details[0]["type"], "bad")
            yield Fault(path, "bad" if path != details[0]["loc"] and kind == "missing" else kind, _complaint(details))


def _path(detail: ErrorDetails, given: Any) -> tuple[str | int, ...]:
    """The steps to a value, without those that pydantic puts in between: the tried member of a union, a key's check."""
    if given is None:
        return tuple(step for step in detail["loc"] if not _is_union_tag(step))
    path = []
    *before, last = detail["loc"]
    for step in before:
        inside = step in given if isinstance(given, dict) else isinstance(given, list) and step in range(len(given))
        if inside:
            path.append(step)
            given = given[step]
    if detail["type"] in ("missing", "extra_forbidden") or not path:
        return (*path, last)
    inside = last in given if isinstance(given, dict) else isinstance(given, list) and last in range(len(given))
    return (*path, last) if inside else tuple(path)


_WANTS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("string_type", "path_type"), "text"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "a list"),
    **dict.fromkeys(("named_tuple_type", "arguments_type"), "a list or a mapping"),
    **dict.fromkeys(("dict_type", "model_type", "typed_dict_type", "dataclass_type"), "a mapping"),
    **dict.fromkeys(("literal_error", "enum"), "{expected}"),
    "none_required": "null",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "multiple_of": "a multiple of {multiple_of}",
}


def _complaint(details: list[ErrorDetails]) -> str:
    """What is wrong with one value, as a predicate: `should be a whole number, not 'nine'`."""
    first = details[0]
    context = _context(first)
    match first["type"]:
        case "value_error":
            return str(context["error"])
        case "missing":
            return "has too few entries"
        case "too_short":
            return f"should have {context['min_length']} or more entries, not {context['actual_length']}"
        case "too_long":
            return f"should have {context['max_length']} or fewer entries, not {context['actual_length']}"
    wanted = dict.fromkeys(_WANTS[d["type"]].format(**_context(d)) for d in details if d["type"] in _WANTS)
    if not wanted:
        return first["msg"][0].lower() + first["msg"][1:]
    return f"should be {' or '.join(wanted)}, not {_shown(first['input'])}"


def _context(detail: ErrorDetails) -> dict[str, Any]:
    return {name: f"{v:g}" if isinstance(v, float) else v for name, v in detail.get("ctx", {}).items()}


def _shown(value: Any) -> str:
    """A value in a message."""
    match value:
        case str():
            return f"'{value}'" if len(value) <= 40 else f"'{value[:37]}...'"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return json.dumps(value)


def _is_union_tag(step: str | int) -> bool:
    """Pydantic puts the tried member of a union into the path: `int`, `constrained-float`, `list[int]`."""
    tags = ("constrained-", "function-", "list[", "tuple[", "dict[", "literal[", "union[")
    return isinstance(step, str) and (step in {"int", "float", "str", "bool", "none"} or step.startswith(tags))
