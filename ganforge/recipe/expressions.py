"""Signal expressions such as `D_b(past_b(fake_b)).logits`: parsed with `ast`, never evaluated as Python; and whether
the arguments of a call fit what it calls."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ganforge.errors import nearest

MAX_LENGTH = 2000
MAX_DEPTH = 50
NAME_PARTS = "give parts of it names, as signals of their own"
CURE = "a signal is made of names, calls, attributes and constants; for anything else write an op in a plugin"


class ExpressionFault(Exception):
    """What is wrong with an expression; `column` and `width` say where in its text."""

    def __init__(self, message: str, column: int = 0, width: int = 1, cure: str = "") -> None:
        super().__init__(message)
        self.message, self.column, self.width, self.cure = message, column, width, cure


# Brackets, but not those inside quotes.
_BRACKETS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[()\[\]{}]""", re.DOTALL)


@dataclass(frozen=True)
class Expression:
    """A piece of an expression. Equal `text` means equal value within a phase."""

    text: str
    column: int = field(compare=False)
    width: int = field(compare=False)

    @property
    def children(self) -> tuple[Expression, ...]:
        return ()

    def walk(self) -> Iterator[Expression]:
        """This piece and all pieces inside it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def names(self) -> set[str]:
        """Every name that the value depends on: those called, and those read."""
        return {piece.name for piece in self.walk() if isinstance(piece, Name | Call)}


@dataclass(frozen=True)
class Name(Expression):
    """A batch field, signal, schedule or network: `real_a`."""

    name: str

    @classmethod
    def of(cls, name: str) -> Name:
        """A name that nobody wrote."""
        return cls(name, 0, len(name), name)


@dataclass(frozen=True)
class Constant(Expression):
    """A number, a text, true, false or null, as Python writes them."""

    value: Any


@dataclass(frozen=True)
class Negative(Expression):
    """`-x`."""

    operand: Expression

    @property
    def children(self) -> tuple[Expression, ...]:
        return (self.operand,)


@dataclass(frozen=True)
class Attribute(Expression):
    """`D(x).logits`: a field of a value."""

    value: Expression
    attribute: str

    @property
    def children(self) -> tuple[Expression, ...]:
        return (self.value,)


@dataclass(frozen=True)
class Call(Expression):
    """`G(x)` or `G.encode(x, layers=3)`: a network, one of its methods, or an op."""

    name: str
    method: str | None
    arguments: tuple[Expression, ...]
    keywords: tuple[tuple[str, Expression], ...]

    @property
    def function(self) -> str:
        """What is called, as written."""
        return f"{self.name}.{self.method}" if self.method else self.name

    @property
    def children(self) -> tuple[Expression, ...]:
        return (*self.arguments, *(value for _, value in self.keywords))


def parse_expression(text: str) -> Expression:
    """The expression of this text.

    Raises:
        ExpressionFault: it is not one.
    """
    stripped = text.strip()
    shift = text.index(stripped)
    if not stripped:
        raise ExpressionFault("the expression is empty", 0, 1, "for example G_ab(real_a)")
    if len(stripped) > MAX_LENGTH:
        raise ExpressionFault(f"the expression is longer than {MAX_LENGTH:,} characters", shift, 1, NAME_PARTS)
    _check_brackets(stripped, shift)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd literals, which the reader refuses or keeps
            # In brackets, so that an expression may run over several lines.
            tree = ast.parse(f"({stripped})", mode="eval").body
        return _Reader(f"({stripped})", shift - 1).read(tree)
    except (MemoryError, RecursionError):  # a long chain of signs or dots
        raise ExpressionFault("the expression is nested too deeply", shift, len(stripped), NAME_PARTS) from None
    except (SyntaxError, ValueError) as error:
        column = max(0, (getattr(error, "offset", None) or 2) - 2)
        column = shift + min(column, len(stripped) - 1)
        raise ExpressionFault(f"'{_short(stripped)}' is not a signal expression", column, 1, CURE) from None


_PAIRS = {")": "(", "]": "[", "}": "{"}


def _check_brackets(text: str, shift: int) -> None:
    """Python would call an open bracket's line wrong, and match a stray one with those put around the text."""
    opened: list[tuple[str, int]] = []
    for piece in _BRACKETS.finditer(text):
        bracket, column = piece[0], piece.start() + shift
        if bracket in _PAIRS.values():
            opened.append((bracket, column))
            if len(opened) > MAX_DEPTH:
                raise ExpressionFault(f"more than {MAX_DEPTH} brackets, one in the other", column, 1, NAME_PARTS)
        elif bracket in _PAIRS and (not opened or opened.pop()[0] != _PAIRS[bracket]):
            raise ExpressionFault(f"nothing is open for this '{bracket}' to close", column, 1, "drop it")
    if opened:
        bracket, column = opened[-1]
        raise ExpressionFault(f"this '{bracket}' is never closed", column, 1, "close it")


@dataclass(frozen=True)
class _Reader:
    text: str
    shift: int

    def read(self, node: ast.expr) -> Expression:
        column, width = self._place(node)
        place = (ast.unparse(node), column, width)
        match node:
            case ast.Name():
                return Name(*place, self._public(node.id, node))
            case ast.Constant() if not isinstance(node.value, bytes | complex | type(...)):
                return Constant(*place, node.value)
            case ast.UnaryOp(op=ast.USub()):
                return Negative(*place, self.read(node.operand))
            case ast.Attribute():
                return Attribute(*place, self.read(node.value), self._public(node.attr, node))
            case ast.Call():
                name, method = self._function(node.func)
                if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
                    raise ExpressionFault("'*' is not allowed in a signal", column, width, CURE)
                self._refuse_twice(node.keywords)
                keywords = tuple((keyword.arg or "", self.read(keyword.value)) for keyword in node.keywords)
                return Call(*place, name, method, tuple(map(self.read, node.args)), keywords)
        raise ExpressionFault(f"'{_short(self._written(node))}' is not allowed in a signal", column, width, CURE)

    def _function(self, node: ast.expr) -> tuple[str, str | None]:
        match node:
            case ast.Name():
                return self._public(node.id, node), None
            case ast.Attribute(value=ast.Name(id=name)):
                return self._public(name, node), self._public(node.attr, node)
        refused = f"'{_short(self._written(node))}' cannot be called"
        raise ExpressionFault(f"{refused}: call a network, one of its methods, or an op", *self._place(node))

    def _refuse_twice(self, keywords: list[ast.keyword]) -> None:
        seen: set[str | None] = set()
        for keyword in keywords:
            if keyword.arg in seen:
                raise ExpressionFault(f"the argument '{keyword.arg}' is given twice", *self._place(keyword.value))
            seen.add(keyword.arg)

    def _public(self, name: str, node: ast.expr) -> str:
        if name.startswith("_"):
            message = f"'{name}' is private: names with a leading underscore are not for recipes"
            raise ExpressionFault(message, *self._place(node))
        return name

    def _written(self, node: ast.expr) -> str:
        column, width = self._place(node)
        return ast.unparse(node) if node.lineno != node.end_lineno else self.text[column - self.shift :][:width]

    def _place(self, node: ast.expr) -> tuple[int, int]:
        """Column and width in the original text; `ast` counts bytes, and a caret characters."""
        if node.lineno > 1:
            return self.shift + 1, 1
        raw = self.text.encode()
        start = len(raw[: node.col_offset].decode(errors="ignore"))
        end = len(raw[: node.end_col_offset].decode(errors="ignore")) if node.end_lineno == 1 else start + 1
        if start == 0:  # a tuple without brackets of its own has those put around the text
            start, end = 1, max(2, end - 1)
        return start + self.shift, max(1, end - start)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


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
