"""How a recipe uses a part: a piece to be pasted and changed."""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Iterator
from typing import Any, Literal

from pydantic_core import to_jsonable_python

from ganforge.errors import Source
from ganforge.plugins.registry import BUILT_IN, SINGULAR, Part
from ganforge.plugins.signature import Parameter, call_signature, expression_signature, is_sequence
from ganforge.recipe.expressions import describe
from ganforge.recipe.name_checks import takes_module
from ganforge.recipe.nodes import parse
from ganforge.recipe.yaml_writing import dump


def example(part: Part) -> str:
    """A piece of a recipe that uses a part: it defines what is called `my_`, and expects what is called `some_`."""
    mine = f"my_{SINGULAR[part.kind]}"
    piece: dict[str, Any]
    match part.kind:
        case "datasets":
            piece = {"data": _use(part)}
        case "augmentations":
            piece = {"data": {"augment": [_use(part)]}}
        case "optimizers":
            piece = {"players": {"some_player": {"networks": ["some_network"], "optimizer": _use(part)}}}
        case "losses":
            piece = {"phases": [{"train": "some_player", "losses": {mine: _use(part)}}]}
        case "ops" if inspect.isclass(part.factory):
            piece = {"ops": {mine: _use(part)}, "signals": {"my_signal": _call(part, mine)}}
        case "ops":
            piece = {"signals": {"my_signal": _call(part, _name(part))}}
        case kind:
            piece = {kind: {mine: _use(part)}}
    return dump(parse(Source("example", json.dumps(piece))))


def called(part: Part) -> str:
    """How expressions call a network or an op, where that can be told without building it: `my_network(images)`."""
    if part.kind == "ops" and not inspect.isclass(part.factory):
        return describe(_name(part), expression_signature(part.factory))
    signature = call_signature(part.factory) if part.kind in ("networks", "ops") else None
    return describe(f"my_{SINGULAR[part.kind]}", signature) if signature else ""


def _name(part: Part) -> str:
    """What recipes call a part: built-in ones are known by their short names to all."""
    return part.name if part.plugin == BUILT_IN else part.full_name


def _use(part: Part) -> dict[str, Any]:
    """The part with all that it needs, and an option or two more."""
    signature = part.signature
    needed: dict[str, Any] = {p.name: _source(p) for p in signature.inputs if p.required}
    wanted = {group[0] for group in part.one_of}
    needed |= {p.name: _plausible(part, p) for p in signature.options if p.required or p.name in wanted}
    more = [p for p in signature.options if not p.required and p.default is not None][:2]
    return {"type": _name(part), **needed, **{p.name: to_jsonable_python(p.default, fallback=str) for p in more}}


def _source(parameter: Parameter) -> str | list[str]:
    """What an input is bound to."""
    source = "some_network" if takes_module(parameter.annotation) else "some_signal"
    return [source] if is_sequence(parameter.annotation) else source


def _call(part: Part, name: str) -> str:
    """An op called with all that it needs."""
    options = {p.name: p for p in part.signature.options}
    by_class = inspect.isclass(part.factory)
    signature = call_signature(part.factory) if by_class else expression_signature(part.factory)
    arguments = []
    for parameter in signature.parameters.values() if signature else ():
        value = "some_signal"
        if parameter.name in options and not by_class:
            value = repr(_plausible(part, options[parameter.name]))
        if parameter.kind is parameter.VAR_POSITIONAL:
            arguments.append(value)
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            arguments.append(f"{parameter.name}={value}" if parameter.kind is parameter.KEYWORD_ONLY else value)
    return f"{name}({', '.join(arguments)})"


def _plausible(part: Part, option: Parameter) -> Any:
    """The first of these values that the option accepts; where none is, dots to be filled in."""
    text = f"some_{option.name}"
    lists = ([8, 8], [1.0, 1.0], [text], *({text: form} for form in _forms(option.annotation)))
    for value in (*_literals(option.annotation), 1.0, 8, 0.5, True, text, "50%", *lists):
        _, faults = part.signature.check({option.name: value})
        if not any(fault.path[0] == option.name for fault in faults):
            return value
    return "..."


def _forms(annotation: Any) -> Iterator[dict[str, str]]:
    """A first key for each type with keys of its own in an annotation."""
    for inner in (annotation, *typing.get_args(annotation)):
        if dataclasses.is_dataclass(inner):
            first = dataclasses.fields(inner)[0].name
            yield {first: f"some_{first}"}
        elif inner is not annotation:
            yield from _forms(inner)


def _literals(annotation: Any) -> Iterator[Any]:
    """The choices of an annotation."""
    if typing.get_origin(annotation) is Literal:
        yield from typing.get_args(annotation)
    else:
        for inner in typing.get_args(annotation):
            yield from _literals(inner)
