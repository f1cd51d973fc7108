"""What an expression means. Where names come from, and how calls are made, is for a kind of interpreter to say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ganforge.recipe.expressions import Attribute, Call, Constant, Expression, Name, Negative


class Interpreter(ABC):
    """Computes expressions."""

    def value(self, expression: Expression) -> Any:
        """The value of an expression."""
        match expression:
            case Constant(value=value):
                return value
            case Negative(operand=operand):
                return -self.value(operand)
            case Attribute(value=inner, attribute=attribute):
                return getattr(self.value(inner), attribute)
            case Name(name=name):
                return self.resolve(name)
            case Call():
                return self.call(expression)
        raise TypeError(f"cannot evaluate {expression!r}")

    @abstractmethod
    def resolve(self, name: str) -> Any:
        """What a name stands for."""

    @abstractmethod
    def call(self, call: Call) -> Any:
        """What a call gives."""

    def given(self, call: Call) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call, and those by name."""
        return [self.value(argument) for argument in call.arguments], {n: self.value(v) for n, v in call.keywords}
