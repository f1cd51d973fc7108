"""What people write for the types of parameters: which of it is a tensor, and which a recipe can write."""

from __future__ import annotations

import collections.abc
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Literal, NewType, TypeVar, Union

import pydantic
import torch
from torch import Tensor, nn
from torch.autograd import Variable
from typing_extensions import TypedDict, is_typeddict  # pydantic asks for this TypedDict before Python 3.12

STRICT = pydantic.ConfigDict(strict=True, extra="forbid")
"""`"64"` is no number, and unknown options are refused, not ignored."""
NOTHING = object()
"""The part of an annotation that a recipe can write, where that is none."""

_LEGACY = type(torch.FloatTensor)
_ALIASES = ("TypeAliasType",)  # of Python 3.12, and of typing_extensions
_MANY = (collections.abc.Iterable, collections.abc.Collection, collections.abc.Reversible)
_ONCE = (collections.abc.Iterator, collections.abc.Generator, collections.abc.Callable, type)
_PLAIN = (int, float, str, bool, type(None), Path, list, tuple, dict, set, frozenset)
_CONTAINERS = (*_PLAIN[6:], collections.abc.Sequence, collections.abc.Mapping)


def understood(annotation: Any) -> Any:
    """An annotation in the engine's words: each spelling of a tensor is `Tensor`, and an alias what it stands for.

    Tensors are also `torch.FloatTensor` and its like, jaxtyping's `Float[Tensor, "n c h w"]`, `Annotated[Tensor, ...]`,
    a `NewType` of them and a `TypeVar` that is bound to them. What is called with tensors is a network.
    """
    if isinstance(annotation, _LEGACY) or annotation is Variable:
        return Tensor
    if isinstance(annotation, ForwardRef):  # of a TypeVar's bound
        return Tensor if annotation.__forward_arg__ in ("Tensor", "torch.Tensor") else annotation
    if isinstance(annotation, NewType):
        return understood(annotation.__supertype__)
    if isinstance(annotation, TypeVar):
        if annotation.__constraints__:
            return Union[tuple(map(understood, annotation.__constraints__))]  # noqa: UP007
        return annotation if annotation.__bound__ is None else understood(annotation.__bound__)
    if type(annotation).__name__ in _ALIASES:
        return understood(annotation.__value__)
    if inspect.isclass(annotation) and hasattr(annotation, "dim_str") and hasattr(annotation, "array_type"):
        return understood(annotation.array_type)  # jaxtyping
    return _understood_generic(annotation, typing.get_origin(annotation), typing.get_args(annotation))


def _understood_generic(annotation: Any, origin: Any, args: tuple[Any, ...]) -> Any:
    if origin is collections.abc.Callable:
        return nn.Module if is_bound(annotation) or any(map(_mentions_tensors, args)) else annotation
    if not args or origin in (None, Literal, type):
        return annotation
    if origin is Annotated:
        kept = understood(args[0])
        if is_bound(kept):
            return kept
        return annotation if kept is args[0] else Annotated[(kept, *args[1:])]
    if type(origin).__name__ in _ALIASES:
        return understood(origin.__value__)
    inner = tuple(map(understood, args))
    if _same(inner, args) and origin not in _MANY:
        return annotation
    if origin in (Union, types.UnionType):
        return Union[inner]  # noqa: UP007
    try:
        return (collections.abc.Sequence if origin in _MANY else origin)[inner]
    except TypeError:  # not made of types: an array's shape
        return annotation


def _same(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> bool:
    """The same objects: typing takes choices in another order for equal, and gives back whichever it saw first."""
    return len(ours) == len(theirs) and all(one is other for one, other in zip(ours, theirs, strict=True))


def _mentions_tensors(argument: Any) -> bool:
    """Whether tensors are among the parameters that a callable's annotation lists."""
    return any(map(_mentions_tensors, argument)) if isinstance(argument, list) else is_bound(understood(argument))


def is_bound(annotation: Any) -> bool:
    """Whether a parameter so annotated is bound to an expression: it mentions tensors or modules."""
    if inspect.isclass(annotation) and issubclass(annotation, Tensor | nn.Module):
        return True
    if _has_fields(annotation):
        return any(is_bound(understood(hint)) for hint in _hints(annotation).values())
    return typing.get_origin(annotation) not in (type, Literal) and any(map(is_bound, typing.get_args(annotation)))


def _has_fields(annotation: Any) -> bool:
    """Whether an annotation is a type with fields, as networks return for several tensors."""
    named = inspect.isclass(annotation) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")
    return named or typing.is_typeddict(annotation) or is_typeddict(annotation)


def _hints(annotation: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(annotation, include_extras=True)
    except (NameError, TypeError):
        return {}


def writable(annotation: Any) -> Any:
    """What a recipe can write of an annotation: `int | Tensor` is `int` then; `NOTHING` where that is nothing."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        kept = tuple(member for member in map(writable, args) if member is not NOTHING)
        if _same(kept, args):
            return annotation
        return Union[kept] if set(kept) - {type(None)} else NOTHING  # noqa: UP007
    if origin is Literal or (inspect.isclass(annotation) and (annotation in _PLAIN or issubclass(annotation, Enum))):
        return annotation
    if origin is Annotated:
        kept = writable(args[0])
        if kept is args[0]:
            return _checked(annotation)
        return NOTHING if kept is NOTHING else _checked(Annotated[(kept, *args[1:])])
    if origin in _CONTAINERS and args:
        inner = tuple(item if item is Ellipsis else writable(item) for item in args)
        if _same(inner, args):
            return annotation
        return NOTHING if NOTHING in inner else origin[inner]
    if is_bound(annotation) or inspect.isroutine(annotation) or (origin or annotation) in _ONCE:
        return NOTHING
    return _checked(annotation)


def _checked(annotation: Any) -> Any:
    """The annotation, if pydantic can make it of what JSON knows."""
    try:
        adapter({"option": annotation})
    except Exception:  # what it says is of its own insides
        return NOTHING
    return annotation


def adapter(fields: dict[str, Any]) -> pydantic.TypeAdapter[dict[str, Any]]:
    """A validator of mappings with these keys and types."""
    form = TypedDict("Options", fields)  # type: ignore[misc]
    form.__pydantic_config__ = STRICT  # type: ignore[attr-defined]
    return pydantic.TypeAdapter(form)  # type: ignore[arg-type]


def place(function: Callable[..., Any], parameter: str = "") -> str:
    """Where a function, or one of its parameters, is written: ` (losses.py:12)`; nothing where that is not known."""
    try:
        lines, first = inspect.getsourcelines(function)
        file = inspect.getsourcefile(function)
    except (OSError, TypeError):
        return ""
    if file is None:
        return ""
    named = re.compile(rf"(?<!\w){parameter}\s*[:,)=]" if parameter else "def ")
    line = next((number for number, line in enumerate(lines) if named.search(line.partition("#")[0])), 0)
    return f" ({_shown(Path(file))}:{first + line})"


def _shown(path: Path) -> Path:
    """A file as it is found from here, or by Python; whole where neither is."""
    roots = (Path.cwd(), *(Path(entry) for entry in sys.path if entry))
    return next((path.relative_to(root) for root in roots if path.is_relative_to(root)), path)
