"""Signal expressions such as `D_b(past_b(fake_b)).logits`: parsed with `ast`, never evaluated as Python."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

CURE = "a signal is made of names, calls, attributes and constants; for anything else write an op in a plugin"


class ExpressionFault(Exception):
    """What is wrong with an expression; `column` and `width` say where in its text."""

    def __init__(self, message: str, column: int = 0, width: int = 1, cure: str = "") -> None:
        super().__init__(message)
        self.message, self.column, self.width, self.cure = message, column, width, cure


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
    try:
        # In brackets, so that an expression may run over several lines.
        tree = ast.parse(f"({stripped})", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        column = max(0, (getattr(error, "offset", None) or 2) - 2)
        raise ExpressionFault(
            f"'{_short(stripped)}' is not a signal expression", min(column, max(0, len(stripped) - 1)), 1, CURE
        ) from None
    return _Reader(f"({stripped})", text.index(stripped) - 1).read(tree)


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
                keywords = tuple((keyword.arg or "", self.read(keyword.value)) for keyword in node.keywords)
                return Call(*place, name, method, tuple(map(self.read, node.args)), keywords)
        raise ExpressionFault(f"'{_short(ast.unparse(node))}' is not allowed in a signal", column, width, CURE)

    def _function(self, node: ast.expr) -> tuple[str, str | None]:
        match node:
            case ast.Name():
                return self._public(node.id, node), None
            case ast.Attribute(value=ast.Name(id=name)):
                return self._public(name, node), self._public(node.attr, node)
        column, width = self._place(node)
        raise ExpressionFault(
            f"'{_short(ast.unparse(node))}' cannot be called: call a network, one of its methods, or an op", column, width
        )

    def _public(self, name: str, node: ast.expr) -> str:
        if name.startswith("_"):
            raise ExpressionFault(f"'{name}' is private: names with a leading underscore are not for recipes", *self._place(node))
        return name

    def _place(self, node: ast.expr) -> tuple[int, int]:
        """Column and width in the original text; `ast` counts bytes, and a caret characters."""
        if node.lineno > 1:
            return 0, 1
        raw = self.text.encode()
        start = len(raw[: node.col_offset].decode(errors="ignore"))
        end = len(raw[: node.end_col_offset].decode(errors="ignore")) if node.end_lineno == node.lineno else start + 1
        return start + self.shift, max(1, end - start)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
