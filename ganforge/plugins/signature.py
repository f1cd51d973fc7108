"""What a part takes, read from its typed signature: options of the recipe, inputs bound to expressions, and what the
engine fills in."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import json
import random
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NotRequired, Required, TypeVar, Union

import numpy as np
import pydantic
from torch import nn

from ganforge.api.context import Context, Pixels, Progress
from ganforge.plugins.annotation_words import describe_default, describe_type
from ganforge.plugins.annotations import NOTHING, adapter, is_bound, place, understood, writable
from ganforge.plugins.option_faults import Fault, faults

VARIOUS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
MISSING = inspect.Parameter.empty
INJECTED = (Context, Pixels, Progress, random.Random)
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
    function: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    """The function whose parameter it is."""
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD

    @property
    def required(self) -> bool:
        return self.default is MISSING

    def __str__(self) -> str:
        text = f"{self.name}: {describe_type(self.annotation)}"
        return text if self.required else f"{text} = {describe_default(self.default)}"

    def refused(self, part: str, why: str, cure: str) -> SignatureError:
        """An error that says what is wrong with this parameter, to be raised."""
        where = place(self.function, self.name) if self.function else ""
        return SignatureError(f"parameter '{self.name}' of '{part}'{where} {why}; {cure}")


@dataclass(frozen=True)
class Signature:
    """The parameters of a part, by where their values come from."""

    options: tuple[Parameter, ...] = ()
    inputs: tuple[Parameter, ...] = ()
    injected: Mapping[str, type] = field(default_factory=dict)
    fixed: tuple[Parameter, ...] = ()
    """Parameters that no recipe can write, and that have a default."""

    def __str__(self) -> str:
        known = (*self.inputs, *self.options)
        # Torch's optimizers end in switches of their implementation.
        shown = [*map(str, known[:8]), "..."] if len(known) > 10 else map(str, known)
        return ", ".join(shown) or "no options"

    @cached_property
    def adapter(self) -> pydantic.TypeAdapter[dict[str, Any]]:
        """A validator of the options, a mapping by name."""
        needs = {True: Required, False: NotRequired}
        return adapter({option.name: needs[option.required][option.annotation] for option in self.options})

    def check(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
        """The options in the types that the part asks for, and every fault among them.

        They go through JSON, where a list may become a tuple and a string a path, though the mode is strict.
        """
        try:
            return self.adapter.validate_json(json.dumps(options)), []
        except pydantic.ValidationError as error:
            return {}, [self._of_fixed(fault) for fault in faults(error, options)]

    def _of_fixed(self, fault: Fault) -> Fault:
        parameter = next((each for each in self.fixed if (each.name,) == fault.path), None)
        if parameter is None or fault.kind != "unknown":
            return fault
        wanted = describe_type(parameter.annotation)
        return Fault(fault.path, "bad", f"should be left out: it is annotated with {wanted}, which no recipe can write")


def read_signature(kind: str, factory: Callable[..., Any]) -> Signature:
    """The signature of a part of this kind.

    Raises:
        SignatureError: a parameter has no annotation, one that cannot be resolved, or one that no recipe can write.
    """
    part = getattr(factory, "__name__", repr(factory))
    if kind == "optimizers":
        parameters = list(_parameters(factory, "__init__" if inspect.isclass(factory) else None))[1:]
        return _sort_parameters(part, parameters, inputs=False)
    if kind == "augmentations":
        call = read_call(factory)
        if not inspect.isclass(factory):
            return replace(call, inputs=())
    if inspect.isclass(factory):
        built = _sort_parameters(part, _parameters(factory, "__init__"), inputs=False)
        if kind == "augmentations" and built.injected:
            name = next(iter(built.injected))
            raise SignatureError(f"'{part}' is given '{name}' at each call: make it a parameter of `__call__`")
        if kind not in CALLED:
            return built
        if not callable(getattr(factory, CALLED[kind], None)):
            raise SignatureError(f"the class '{part}' has no method '{CALLED[kind]}'; write it: it is called")
        return replace(built, inputs=tuple(_by_name(part, _parameters(factory, CALLED[kind]))))
    if kind in CALLED:
        return _sort_parameters(part, _by_name(part, _parameters(factory)), inputs=True)
    return _sort_parameters(part, _parameters(factory), inputs=kind == "ops")


def read_call(factory: Callable[..., Any]) -> Signature:
    """What an augmentation is called with: the picture, its one input, and what the engine fills in.

    Raises:
        SignatureError: it does not take one picture, or needs more.
    """
    part = getattr(factory, "__name__", repr(factory))
    of_class = "forward" if inspect.isclass(factory) and issubclass(factory, nn.Module) else "__call__"
    if inspect.isclass(factory) and not any(of_class in vars(base) for base in factory.__mro__):
        raise SignatureError(f"the class '{part}' has no method '{of_class}'; write it: it is given the picture")
    method = of_class if inspect.isclass(factory) else None
    call = _sort_parameters(part, _parameters(factory, method), inputs=True)
    if len(call.inputs) != 1:
        how = f"def {method or part}({'self, ' * bool(method)}picture: Tensor, rng: random.Random) -> Tensor"
        raise SignatureError(f"'{part}' takes {len(call.inputs)} tensors, and an augmentation one, the picture: {how}")
    for option in call.options if method else ():
        if option.required:
            raise option.refused(part, "is needed at each call", "options are parameters of the constructor")
    return call


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
        hints = _hints(_called(op) if inspect.isclass(op) else op)
    except (NameError, TypeError):  # a name that only type checkers import: then it is no type of ours
        return None
    return next((name for name, hint in hints.items() if _injected(understood(hint)) is Context), None)


def _called(made: type[Any]) -> Callable[..., Any]:
    """The function that a call of an instance runs."""
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
        hints = _hints(function)
        signature = inspect.signature(function)
    except (NameError, TypeError, ValueError) as error:
        unread = f"the annotations of '{name}'{place(function)} cannot be read: {error}"
        if isinstance(error, NameError):
            unread += "; import what it needs where it runs: not below `if TYPE_CHECKING:`"
        raise SignatureError(unread) from error
    parameters = list(signature.parameters.values())[1 if method else 0 :]
    bare = [p.name for p in parameters if p.name not in hints and p.kind not in VARIOUS and p.name != "params"]
    if bare:
        names = " and ".join(f"'{each}'" for each in bare)
        told = f"parameter {names} of '{name}'{place(function, bare[0])} has no type annotation"
        if len(bare) > 1:
            told = told.replace("parameter", "parameters", 1).replace(" has no ", " have no ")
        raise SignatureError(
            f"{told}; write one: it tells the engine how to check or bind it, "
            f"`{bare[0]}: Tensor` by an expression, `{bare[0]}: float = 1.0` as an option"
        )
    for parameter in parameters:
        annotation = understood(hints.get(parameter.name, Any))
        yield Parameter(parameter.name, annotation, parameter.default, function, parameter.kind)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return typing.get_type_hints(function, include_extras=True)


def _by_name(part: str, parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    """The parameters of a loss or a metric, which are given by their names.

    Raises:
        SignatureError: one cannot be.
    """
    for parameter in parameters:
        if parameter.kind in VARIOUS and is_bound(parameter.annotation):
            why = "takes any number of tensors, and a recipe names each"
            raise parameter.refused(part, why, "`Sequence[Tensor]` takes a list of them")
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise parameter.refused(part, "is given by its name, and takes none", "take the `/` out of its signature")
        if _is_array(parameter.annotation):
            raise parameter.refused(part, *_NO_ARRAY)
        if parameter.required and (parameter.annotation in (Any, object) or isinstance(parameter.annotation, TypeVar)):
            why = f"is annotated with {describe_type(parameter.annotation)}: nobody can tell if it is a tensor"
            raise parameter.refused(part, why, "write Tensor for what is bound to an expression, or an option's type")
        yield parameter


def _sort_parameters(part: str, parameters: Iterable[Parameter], inputs: bool) -> Signature:
    options, bound, injected, fixed = [], [], {}, []
    for parameter in parameters:
        if parameter.kind in VARIOUS:
            continue
        positional = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
        if kind := _injected(parameter.annotation):
            injected[parameter.name] = kind
        elif inputs and is_bound(parameter.annotation):
            bound.append(parameter)
        elif not positional and (annotation := writable(parameter.annotation)) is not NOTHING:
            options.append(replace(parameter, annotation=annotation))
        elif not parameter.required:
            fixed.append(parameter)
        elif positional:
            raise parameter.refused(part, "is given by its name, and takes none", "take the `/` out of its signature")
        else:
            raise _no_option(part, parameter)
    return Signature(tuple(options), tuple(bound), injected, tuple(fixed))


_NO_ARRAY = "is an array of numpy, and the engine gives tensors", "write Tensor, and compute with torch"
_OPTIONS = "int, float, bool, str, Path, Literal, Enum, dataclasses, and lists, tuples, dicts and `| None` of these"


def _no_option(part: str, parameter: Parameter) -> SignatureError:
    if _is_array(parameter.annotation):
        return parameter.refused(part, *_NO_ARRAY)
    why = f"is annotated with {describe_type(parameter.annotation)}, which no recipe can write"
    return parameter.refused(part, why, f"options are {_OPTIONS}; what has a default may be anything")


def _is_array(annotation: Any) -> bool:
    found = (annotation, typing.get_origin(annotation))
    return np.ndarray in found or (not is_bound(annotation) and any(map(_is_array, typing.get_args(annotation))))


def _injected(annotation: Any) -> type | None:
    """The type of what the engine fills in, whether the parameter is optional or not."""
    optional = typing.get_origin(annotation) in (Union, types.UnionType)
    kinds = typing.get_args(annotation) if optional else (annotation,)
    return next((kind for kind in kinds if kind in INJECTED), None)


def is_sequence(annotation: Any) -> bool:
    """Whether an input takes several values: it may be bound to a list of expressions."""
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        return any(map(is_sequence, typing.get_args(annotation)))
    return inspect.isclass(origin) and issubclass(origin, collections.abc.Sequence)
