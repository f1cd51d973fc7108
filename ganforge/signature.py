"""What a part takes, read from its typed signature: options of the recipe, inputs bound to expressions, and what the
engine fills in."""

from __future__ import annotations

import collections.abc
import inspect
import json
import random
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal, NotRequired, Required, Union

import annotated_types
import pydantic
import torch
from pydantic.fields import FieldInfo
from torch import nn
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from ganforge.faults import Fault, faults
from ganforge.parts import Context, Progress

MISSING = inspect.Parameter.empty
INJECTED = (Context, Progress, random.Random)
CALLED = {"losses": "forward", "metrics": "update"}
"""The method of a class whose parameters are bound to expressions."""


class SignatureError(Exception):
    """A plugin registered something whose signature cannot be read."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a part."""

    name: str
    annotation: Any
    default: Any = MISSING

    @property
    def required(self) -> bool:
        return self.default is MISSING

    def __str__(self) -> str:
        text = f"{self.name}: {describe_type(self.annotation)}"
        return text if self.required else f"{text} = {_plain(self.default)}"


@dataclass(frozen=True)
class Signature:
    """The parameters of a part, by where their values come from."""

    options: tuple[Parameter, ...] = ()
    inputs: tuple[Parameter, ...] = ()
    injected: Mapping[str, type] = field(default_factory=dict)

    def __str__(self) -> str:
        known = (*self.inputs, *self.options)
        # Torch's optimizers end in switches of their implementation.
        shown = [*map(str, known[:8]), "..."] if len(known) > 10 else map(str, known)
        return ", ".join(shown) or "no options"

    @cached_property
    def adapter(self) -> pydantic.TypeAdapter[dict[str, Any]]:
        """What checks the options, a mapping of them by name."""
        fields = {o.name: Required[o.annotation] if o.required else NotRequired[o.annotation] for o in self.options}
        form = TypedDict("Options", fields)  # type: ignore[misc]
        # Strict: "64" is no number; unknown options are refused, not ignored.
        form.__pydantic_config__ = pydantic.ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)  # type: ignore[attr-defined]
        return pydantic.TypeAdapter(form)  # type: ignore[arg-type]

    def check(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
        """The options in the types that the part asks for, and every fault among them.

        They go through JSON, where a list may become a tuple and a string a path, though the mode is strict.
        """
        try:
            return self.adapter.validate_json(json.dumps(options)), []
        except pydantic.ValidationError as error:
            return {}, list(faults(error))


def read_signature(kind: str, factory: Callable[..., Any]) -> Signature:
    """The signature of a part of this kind.

    Raises:
        SignatureError: a parameter has no annotation, or one that cannot be resolved.
    """
    if kind == "optimizers":
        parameters = _parameters(factory, "__init__" if inspect.isclass(factory) else None)
        return Signature(tuple(_without_tensors(parameter) for parameter in list(parameters)[1:]))
    if inspect.isclass(factory):
        built = _sort_parameters(_parameters(factory, "__init__"), inputs=False)
        if kind not in CALLED:
            return built
        if not callable(getattr(factory, CALLED[kind], None)):
            raise SignatureError(
                f"the class '{factory.__name__}' has no method '{CALLED[kind]}'; write it: it is called"
            )
        return Signature(built.options, tuple(_parameters(factory, CALLED[kind])), built.injected)
    return _sort_parameters(_parameters(factory), inputs=kind in {"losses", "metrics", "ops"})


def call_signature(factory: Callable[..., Any]) -> inspect.Signature | None:
    """How an op or a network is called in an expression, where that can be told without building it."""
    made: Any = factory
    if not inspect.isclass(made):
        try:
            made = typing.get_type_hints(factory).get("return")
        except (NameError, TypeError):
            return None
        if not (inspect.isclass(made) and issubclass(made, nn.Module)) or made is nn.Module:
            return None
    return written_arguments(_called(made), skip=1)


def expression_signature(function: Callable[..., Any]) -> inspect.Signature:
    """How a function op is called in an expression: without what the engine fills in."""
    return written_arguments(function, skip=0)


def context_parameter(op: Callable[..., Any]) -> str | None:
    """The parameter by which an op, a function or a class, is told of the step it runs in, if it has one."""
    try:
        hints = typing.get_type_hints(_called(op) if inspect.isclass(op) else op)
    except (NameError, TypeError):  # a name that only type checkers import: then it is no type of ours
        return None
    return next((name for name, hint in hints.items() if hint is Context), None)


def _called(made: type[Any]) -> Callable[..., Any]:
    """What a call of an instance runs."""
    return made.forward if issubclass(made, nn.Module) else made.__call__


def written_arguments(function: Callable[..., Any], skip: int) -> inspect.Signature:
    """The parameters of a call that an expression writes: without the first `skip`, and what the engine fills in."""
    signature, filled_in = inspect.signature(function), context_parameter(function)
    written = [p for p in list(signature.parameters.values())[skip:] if p.name != filled_in]
    return signature.replace(parameters=written)


def _parameters(factory: Callable[..., Any], method: str | None = None) -> Iterator[Parameter]:
    function = getattr(factory, method) if method else factory
    if function is object.__init__:
        return
    name = getattr(factory, "__name__", repr(factory))
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        signature = inspect.signature(function)
    except (NameError, TypeError, ValueError) as error:
        raise SignatureError(f"the annotations of '{name}' cannot be read: {error}") from error
    for parameter in list(signature.parameters.values())[1 if method else 0 :]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name not in hints and parameter.name != "params":
            raise SignatureError(
                f"parameter '{parameter.name}' of '{name}' has no type annotation; "
                "write one: it tells the engine how to check or bind it"
            )
        yield Parameter(parameter.name, hints.get(parameter.name, Any), parameter.default)


def _sort_parameters(parameters: collections.abc.Iterable[Parameter], inputs: bool) -> Signature:
    options, bound, injected = [], [], {}
    for parameter in parameters:
        if parameter.annotation in INJECTED:
            injected[parameter.name] = parameter.annotation
        elif inputs and is_bound(parameter.annotation):
            bound.append(parameter)
        else:
            options.append(parameter)
    return Signature(tuple(options), tuple(bound), injected)


def is_bound(annotation: Any) -> bool:
    """Whether a parameter so annotated is bound to an expression: it mentions tensors or modules."""
    if inspect.isclass(annotation) and issubclass(annotation, torch.Tensor | nn.Module):
        return True
    return any(map(is_bound, typing.get_args(annotation)))


def is_sequence(annotation: Any) -> bool:
    """Whether an input takes several values: it may be bound to a list of expressions."""
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        return any(map(is_sequence, typing.get_args(annotation)))
    return inspect.isclass(origin) and issubclass(origin, collections.abc.Sequence)


def _without_tensors(parameter: Parameter) -> Parameter:
    """Torch's optimizers accept tensors where a recipe gives numbers."""

    def strip(annotation: Any) -> Any:
        if not is_bound(annotation):
            return annotation
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (Union, types.UnionType):
            return Union[tuple(strip(a) for a in args if a is not torch.Tensor)]  # noqa: UP007
        return origin[tuple(map(strip, args))]

    return Parameter(parameter.name, strip(parameter.annotation), parameter.default)


def describe_type(annotation: Any) -> str:
    """An annotation as a person writes it: `int >= 1`, `instance|batch|none`, `tensor`."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return f"{describe_type(args[0])} {_range(dict(_bounds(args[1:])))}".rstrip()
    if origin is Literal:
        return "|".join(map(str, args))
    if origin in (Union, types.UnionType):
        return " | ".join(map(describe_type, args))
    if annotation is types.NoneType:
        return "null"
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


def _range(bounds: dict[str, Any]) -> str:
    """Bounds as a person writes them: `>= 1`, or both of them as an interval, `in [0, 1)`."""
    if len(bounds) < 2:
        return "".join(f"{sign} {bound}" for sign, bound in bounds.items())
    lower = f"[{bounds['>=']}" if ">=" in bounds else f"({bounds['>']}"
    upper = f"{bounds['<=']}]" if "<=" in bounds else f"{bounds['<']})"
    return f"in {lower}, {upper}"


def _plain(value: Any) -> str:
    """A default as a recipe writes it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, tuple):
        return str(list(value))
    return str(value)
