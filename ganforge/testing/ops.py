"""Does an op keep what the engine relies on?"""

from __future__ import annotations

import copy
import functools
import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ganforge.api.context import Context
from ganforge.core.nested import tensors
from ganforge.core.serialise import copied
from ganforge.plugins.signature import context_parameter
from ganforge.testing.checking import (
    CheckFailed,
    checked_options,
    equal,
    never_waiting,
    refuse_weights,
    run_checks,
    signature_of,
)

CALLS = 6


def check_op(
    op: Callable[..., Any],
    *arguments: Any,
    method: str | None = None,
    skip: tuple[str, ...] = (),
    **options: Any,
) -> None:
    """Check an op as the engine uses it.

    | check | what must hold |
    |---|---|
    | `call` | it can be called again and again |
    | `repeat` | one seed gives the same values |
    | `state` | saved in a checkpoint and restored, it goes on as if it had never stopped |
    | `weights` | a module has none that learn, or has frozen them: what learns is a network of a player |
    | `copy` | a copy, as panels are drawn with, leaves the original as it was |
    | `waiting` | it never makes the host wait for a GPU |

    Args:
        op: a function, or a class with `__call__`, as it would be registered.
        arguments: of a call. A shape `(4, 3, 8, 8)` is a new batch of random numbers at each call; all else is itself.
        method: call this method between the calls, with the same arguments.
        skip: names of checks that do not apply.
        options: of the constructor; of a function those that `ops:` would give.

    Raises:
        CheckFailed: with the check, what is wrong, and what to do.
        ValueError: `skip` names no check.
    """
    run_checks(op, _Case(op, arguments, method, options), skip)


class _Case:
    """An op with arguments to try it on."""

    def __init__(self, op: Callable[..., Any], arguments: Sequence[Any], method: str | None, options: Any) -> None:
        self.op, self.arguments, self.method = op, arguments, method
        self.signature = signature_of("ops", op)
        # A function's options may as well be given in the call: `noise(8)`.
        self.options = checked_options(op, self.signature, options) if inspect.isclass(op) else options

    def made(self, rng: random.Random | None = None) -> Callable[..., Any]:
        """The op, its weights the same each time."""
        torch.manual_seed(0)
        if not inspect.isclass(self.op):
            return functools.partial(self.op, **self.options)
        injected = {n: rng or random.Random(0) for n, kind in self.signature.injected.items() if kind is random.Random}
        make: Any = self.op
        return make(**injected, **self.options)

    def call(self, op: Callable[..., Any], number: int) -> Any:
        """The op's value at this call of a run."""
        torch.manual_seed(100 + number)
        values = [torch.rand(a) * 2 - 1 if _is_shape(a) else a for a in self.arguments]
        result = self._invoke(op, self.op, values)
        if self.method:
            self._invoke(getattr(op, self.method), getattr(self.op, self.method), values)
        return result

    def _invoke(self, called: Callable[..., Any], declared: Any, values: Sequence[Any]) -> Any:
        batches = [value for value in values if isinstance(value, Tensor) and value.ndim]
        context = Context(len(batches[0]) if batches else 4, torch.device("cpu"), torch.float32)
        parameter = context_parameter(declared)
        return called(*values, **({parameter: context} if parameter else {}))

    def series(self, op: Callable[..., Any], start: int = 0, stop: int = CALLS) -> list[Tensor]:
        """The tensors of several calls."""
        found: list[Tensor] = []
        for number in range(start, stop):
            found += [tensor.detach().clone() for tensor in tensors(self.call(op, number))]
        return found

    def check_call(self) -> None:
        self.series(self.made())

    def check_repeat(self) -> None:
        if not equal(self.series(self.made()), self.series(self.made())):
            raise CheckFailed("one seed gives two series: draw from torch's global generator, or take a random.Random")

    def check_state(self) -> None:
        rng = random.Random(0)
        op = self.made(rng)
        expected = self.series(op)
        rng = random.Random(0)
        op = self.made(rng)
        self.series(op, 0, CALLS // 2)
        again = self.made(rng)
        if hasattr(op, "state_dict"):
            again.load_state_dict(copied(op.state_dict()))  # type: ignore[attr-defined]
        if not equal(expected[len(expected) // 2 :], self.series(again, CALLS // 2)):
            cure = "return all of it from state_dict()" if hasattr(op, "state_dict") else "write state_dict for it"
            raise CheckFailed(f"after a checkpoint it goes on differently: it has a state that is not saved; {cure}")

    def check_weights(self) -> None:
        refuse_weights(self.made())

    def check_copy(self) -> None:
        op = self.made()
        self.series(op, 0, CALLS // 2)
        self.series(copy.deepcopy(op))
        untouched = self.made()
        self.series(untouched, 0, CALLS // 2)
        if not equal(self.series(untouched, CALLS // 2), self.series(op, CALLS // 2)):
            raise CheckFailed("calling a copy of it changes the original: keep no state outside of the object")

    def check_waiting(self) -> None:
        op = self.made()
        with never_waiting():
            self.series(op)


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(size, int) for size in value)
