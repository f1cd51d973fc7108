"""A computation written down, operation by operation, so that it can be stopped, kept and gone on with anywhere."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ganforge.core.torch_internals.fake import FakeTensor, FakeTensorMode
from ganforge.core.torch_internals.log import withheld
from ganforge.core.torch_internals.tensors import tree_leaves, tree_map_only

PICTURE = 0
"""The number of the value that a tape begins with."""

Values = dict[int, Tensor]


class Untileable(Exception):
    """The computation cannot be done tile by tile; the message says why, as the end of a sentence."""


@dataclass(frozen=True)
class Value:
    """A tensor of the computation that depends on the picture, by its number."""

    number: int


@dataclass(frozen=True)
class Kind:
    """What is known of a value before it is computed."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """How many bytes the value takes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Operation:
    """A call of a function of torch; in its arguments, `Value`s stand for tensors that depend on the picture."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    results: tuple[int, ...]
    """The numbers of the tensors that it returns."""
    autocast: torch.dtype | None
    """The type that autocast computes the call in, where autocast is on."""

    @property
    def name(self) -> str:
        """The function's name, for messages."""
        return str(getattr(self.function, "__name__", self.function))

    @property
    def inputs(self) -> frozenset[int]:
        """The numbers of the values that the function is given."""
        leaves = tree_leaves((self.arguments, dict(self.keywords)))
        return frozenset(leaf.number for leaf in leaves if isinstance(leaf, Value))

    def filled(self, values: Mapping[int, Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The function's arguments, with tensors in their places."""
        return tree_map_only(Value, lambda value: values[value.number], (self.arguments, dict(self.keywords)))

    def compute(self, values: Mapping[int, Tensor]) -> list[Tensor]:
        """Call the function."""
        arguments, keywords = self.filled(values)
        device = next(values[number] for number in self.inputs).device.type
        low = torch.autocast(device, self.autocast) if self.autocast else contextlib.nullcontext()
        with low:
            made = self.function(*arguments, **keywords)
        return [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]


Compute = Callable[[int, Operation, Values], list[Tensor]]
"""How the operation at a position is computed: for most, `Operation.compute`."""


@dataclass
class Tape:
    """All the operations from a picture to a result, and what is known of every value.

    A position `p` of the tape is the place before operation `p`; the last one is behind all of them.
    """

    operations: list[Operation]
    kinds: dict[int, Kind]
    result: int
    made_at: dict[int, int] = field(init=False)
    used_until: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        used = {number for each in self.operations for number in (*each.results, *each.inputs)} | {PICTURE}
        self.kinds = {number: kind for number, kind in self.kinds.items() if number in used}
        self.made_at, self.used_until = {PICTURE: -1}, {PICTURE: -1}
        for position, operation in enumerate(self.operations):
            self.made_at |= dict.fromkeys(operation.results, position)
            self.used_until |= dict.fromkeys((*operation.results, *operation.inputs), position)
        self.used_until[self.result] = len(self.operations)

    def alive(self, position: int) -> frozenset[int]:
        """The values that going on from a position needs; the picture is always at hand and not among them."""
        made = (number for number, at in self.made_at.items() if at < position and number != PICTURE)
        return frozenset(number for number in made if self.used_until[number] >= position)

    def run(self, values: Values, start: int, stop: int, compute: Compute) -> Values:
        """Go from one position to another; `values` has what is alive at the start, and becomes what is at the stop."""
        for position in range(start, stop):
            operation = self.operations[position]
            values |= zip(operation.results, compute(position, operation, values), strict=True)
            for number in operation.inputs | set(operation.results):
                if self.used_until[number] <= position:
                    values.pop(number, None)
        return values


def record(
    function: Callable[[Tensor], Tensor], shape: Sequence[int], dtype: torch.dtype, device: torch.device
) -> Tape:
    """Write down what a function does with a picture of a shape, without doing it: that takes no memory.

    What does not depend on the picture (weights, noise, styles) is computed once and becomes part of the tape.

    Raises:
        Untileable: what it does depends on values, or cannot be followed.
    """
    recorder = _Recorder(device)
    with recorder.fake:
        picture = torch.empty(tuple(shape), dtype=dtype, device=device)
    recorder.number(picture)
    try:
        with torch.no_grad(), withheld(), recorder:
            result = function(picture)
    except Untileable:
        raise
    except Exception as error:  # whatever a network's own code raises on tensors without values
        size = f"{shape[-2]} x {shape[-1]}"
        reason = str(error).splitlines()[0]
        raise Untileable(f"with a picture of {size} pixels it could not be followed: {reason}") from error
    number = recorder.numbered(result).number
    return Tape(_needed(recorder.operations, number), recorder.kinds, number)


def _needed(operations: list[Operation], result: int) -> list[Operation]:
    """The operations that a result depends on."""
    wanted, kept = {result}, []
    for operation in reversed(operations):
        if wanted.intersection(operation.results):
            wanted |= operation.inputs
            kept.append(operation)
    return kept[::-1]


def _with_part(tensor: Tensor, index: Any, part: Any) -> Tensor:
    tensor[index] = part
    return tensor


class _Recorder(TorchFunctionMode):
    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.device = device
        self.operations: list[Operation] = []
        self.kinds: dict[int, Kind] = {}
        self._numbers: dict[int, int] = {}
        self._alive: list[Tensor] = []  # so that no two tensors have the same id

    def number(self, tensor: Tensor) -> int:
        """Give a tensor the next number; one that was changed in place gets a new one."""
        number = self._numbers[id(tensor)] = len(self.kinds)
        self._alive.append(tensor)
        self.kinds[number] = Kind(tuple(tensor.shape), tensor.dtype)
        return number

    def numbered(self, tensor: Tensor) -> Value:
        """The value that a tensor stands for."""
        if id(tensor) not in self._numbers:
            raise Untileable("it makes a tensor in a way that cannot be followed")
        return Value(self._numbers[id(tensor)])

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not any(isinstance(leaf, FakeTensor) for leaf in tree_leaves((args, kwargs))):
            return function(*args, **kwargs)
        if function is Tensor.__setitem__:  # which returns nothing
            function = _with_part
        # Numbers are asked for before the call: one that works in place gives its tensor a new one.
        arguments, keywords = tree_map_only(FakeTensor, self.numbered, (args, kwargs))
        autocast = torch.is_autocast_enabled(self.device.type)
        with self.fake:
            made = function(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        if tensors:  # and no size or type
            low = torch.get_autocast_dtype(self.device.type) if autocast else None
            numbers = tuple(map(self.number, tensors))
            self.operations.append(Operation(function, arguments, keywords, numbers, low))
        return made
