"""Types, ranges and defaults of options in words, as a person writes them."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Literal, Union

import annotated_types
import torch
from pydantic.fields import FieldInfo


def describe_type(annotation: Any) -> str:
    """An annotation as a person writes it: `int >= 1`, `instance|batch|none`, `tensor`."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return f"{describe_type(args[0])} {describe_range(dict(_bounds(args[1:])))}".rstrip()
    if origin is Literal:
        return "|".join(map(str, args))
    if origin in (Union, types.UnionType):
        return " | ".join(map(describe_type, args))
    if annotation is types.NoneType:
        return "null"
    if inspect.isclass(annotation) and issubclass(annotation, Enum):
        return "|".join(str(member.value) for member in annotation)
    if annotation is torch.Tensor:
        return "tensor"
    if inspect.isclass(origin) and args:
        return f"{_type_name(origin)}[{', '.join('...' if a is Ellipsis else describe_type(a) for a in args)}]"
    return _type_name(annotation)


def _type_name(annotation: Any) -> str:
    name = getattr(annotation, "__name__", str(annotation))
    known = {"Module": "network", "Sequence": "list", "tuple": "list", "Path": "path", "str": "text"}
    return (known | {"Share": "percentage"}).get(name, name)


_BOUNDS = {annotated_types.Ge: ">=", annotated_types.Gt: ">", annotated_types.Le: "<=", annotated_types.Lt: "<"}


def _bounds(metadata: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _bounds(tuple(item.metadata))
        elif type(item) in _BOUNDS:
            yield _BOUNDS[type(item)], getattr(item, type(item).__name__.lower())


def describe_range(bounds: dict[str, Any]) -> str:
    """Bounds as a person writes them: `>= 1`, or both of them as an interval, `in [0, 1)`."""
    if len(bounds) < 2:
        return "".join(f"{sign} {bound}" for sign, bound in bounds.items())
    lower = f"[{bounds['>=']}" if ">=" in bounds else f"({bounds['>']}"
    upper = f"{bounds['<=']}]" if "<=" in bounds else f"{bounds['<']})"
    return f"in {lower}, {upper}"


def describe_default(value: Any) -> str:
    """A default as a recipe writes it: `null`, `[0.5, 0.999]`, `auto`."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, tuple):
        return str(list(value))
    if isinstance(value, Enum):
        return describe_default(value.value)
    return str(value)
