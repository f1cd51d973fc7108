"""Whether the arguments of a call in an expression fit what it calls."""

from __future__ import annotations

import inspect

from ganforge.errors import nearest
from ganforge.recipe.expressions import Call, Expression, Name


def misfit(call: Call, signature: inspect.Signature) -> tuple[str, Expression] | None:
    """How a call's arguments fail to fit, and the piece to blame; nothing where they fit."""
    parameters = list(signature.parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    kinds = {p.kind for p in parameters}
    if len(call.arguments) > len(positional) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        count = f"{len(positional)} argument{'s' * (len(positional) != 1)}"
        return f"'{call.function}' takes {count}, but is given {len(call.arguments)}", call.arguments[len(positional)]
    by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    given = {p.name for p in positional[: len(call.arguments)]}
    for name, value in call.keywords:
        if name in given:
            return f"'{call.function}' is given the argument '{name}' twice", value
        if name not in by_name and inspect.Parameter.VAR_KEYWORD not in kinds:
            near = nearest(name, by_name)
            message = f"'{call.function}' has no argument '{name}'" + (f"; did you mean '{near}'?" if near else "")
            return message, Name(name, value.column - len(name) - 1, len(name), name)  # as in size=64
        given.add(name)
    named = (p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    missing = next((p.name for p in named if p.default is p.empty and p.name not in given), None)
    return (f"'{call.function}' needs the argument '{missing}'", call) if missing else None


def describe(function: str, signature: inspect.Signature) -> str:
    """A function and its arguments, as a call writes them: `noise(size)`."""
    return f"{function}({', '.join(map(_argument, signature.parameters.values()))})"


def _argument(parameter: inspect.Parameter) -> str:
    """A parameter without its annotation, as a call writes it."""
    default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
    return str(parameter.replace(annotation=parameter.empty, default=parameter.empty)) + default
