"""Whether a recipe's own layers are faster in bfloat16 on this machine: measured, in less than two seconds.

A CPU's flags do not tell: many have instructions for bfloat16 and no units for its matrix products, and one that has
neither computes it ten times slower than float32, and as rightly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CLEARLY = 1.2
"""Times as fast bfloat16 must be to be taken: less is within what noise makes of two equals."""
LIMIT_S = 1.5
"""Seconds after which nothing more is measured."""
MOST, SHARE = 8, 0.9
"""Layers that are measured: so many at most, or those that do this part of the work."""
PIECE_FLOPS = 4e8
"""Work of a layer from which a piece of its picture stands for the whole: some milliseconds in float32."""
POSITIONS = 256
"""Pixels of a piece, at least: below it would be the weights' layer, more than the pictures'."""
ROUNDS = 5
HOPELESS = 3.0
"""How many times as slow needs no second look."""

aten = torch.ops.aten
_CONVOLUTIONS = ("aten.convolution.default", "aten.convolution_backward.default")

Argument = Any
"""A number, a list of numbers, or for a tensor `{"shape": [...]}`."""


@dataclass(frozen=True)
class Layer:
    """A product of matrices or a convolution, forward or backward, as a step computes it."""

    op: str
    """The operation as torch names it: `aten.convolution.default`."""
    arguments: tuple[Argument, ...]
    flops: int
    """FLOPs of one such call."""
    times: int
    """How often a step computes it."""

    @property
    def backward(self) -> bool:
        """Whether the layer runs only where something learns. Of matrix products nobody can tell."""
        return self.op.endswith("_backward.default")


@dataclass(frozen=True)
class Ratio:
    """How many times as fast one way is as another."""

    median: float
    low: float
    high: float


def arguments_of(given: Iterable[Any]) -> tuple[Argument, ...] | None:
    """The arguments of an op, so that it can be called again with others of their shapes; None if it cannot."""
    found: list[Argument] = []
    for value in given:
        if isinstance(value, Tensor):
            if not value.is_floating_point():
                return None
            found.append({"shape": list(value.shape)})
        elif value is None or isinstance(value, bool | int | float):
            found.append(value)
        elif isinstance(value, list | tuple) and all(isinstance(item, bool | int | float) for item in value):
            found.append(list(value))
        else:
            return None
    return tuple(found)


def heaviest(layers: Iterable[Layer], learning: bool) -> list[Layer]:
    """The layers that do most of the work of a step, or of a network that only infers."""
    known = [layer for layer in layers if (learning or not layer.backward) and layer.flops]
    known.sort(key=lambda layer: layer.flops * layer.times, reverse=True)
    total, taken, found = sum(layer.flops * layer.times for layer in known), 0, []
    for layer in known[:MOST]:
        found.append(layer)
        taken += layer.flops * layer.times
        if taken >= SHARE * total:
            break
    return found


def bf16_against_fp32(layers: Sequence[Layer], limit_s: float = LIMIT_S) -> Ratio | None:
    """How many times as fast the layers are in bfloat16 on the CPU; None if nothing could be measured."""
    deadline = time.perf_counter() + limit_s
    measured: list[_Measured] = []
    for layer in layers:
        with suppress(RuntimeError):  # a kernel that one of the two types lacks
            measured.append(_measure(layer, deadline))
        if time.perf_counter() > deadline or (measured and _ratio(measured, min) < 1 / HOPELESS):
            break
    if not measured:
        return None
    rounds = range(min(len(each.wide) for each in measured))
    ratios = [_ratio(measured, lambda times, n=n: times[n]) for n in rounds]  # type: ignore[misc]
    # By the fastest rounds, which nothing else at work on the machine has made slower.
    return Ratio(_ratio(measured, min), min(ratios), max(ratios))


@dataclass
class _Measured:
    """A layer's seconds in both types, round by round, and how much it counts."""

    weight: float
    wide: list[float]
    narrow: list[float]


def _ratio(measured: Sequence[_Measured], of: Callable[[list[float]], float]) -> float:
    return sum(each.weight * of(each.wide) for each in measured) / sum(
        each.weight * of(each.narrow) for each in measured
    )


@torch.no_grad()
def _measure(layer: Layer, deadline: float) -> _Measured:
    piece, part = _piece(layer)
    found = _Measured(layer.times / part, [], [])
    wide, narrow = (_call(piece, dtype) for dtype in (torch.float32, torch.bfloat16))
    wide()
    first = _seconds(narrow)  # in which kernels are chosen
    for number in range(ROUNDS):
        found.wide.append(_seconds(wide))
        # An emulation takes ten times as long: what it took to begin with tells enough.
        found.narrow.append(first if first > 2 * HOPELESS * found.wide[0] and not number else _seconds(narrow))
        slow = min(found.narrow) > HOPELESS * min(found.wide)
        if number and (slow or time.perf_counter() > deadline):
            break
    return found


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _piece(layer: Layer) -> tuple[Layer, float]:
    """The layer, or one on fewer rows of smaller batches, and what part of the work that is."""
    if layer.flops <= PIECE_FLOPS or layer.op not in _CONVOLUTIONS:
        return layer, 1.0
    samples, _, *size = layer.arguments[layer.op == _CONVOLUTIONS[1]]["shape"]
    return _cut(layer, min(1.0, max(PIECE_FLOPS / layer.flops, POSITIONS / (samples * math.prod(size)))))


def _cut(layer: Layer, part: float) -> tuple[Layer, float]:
    """A convolution on fewer samples and rows. What is upstream of it in a backward pass follows from its input."""
    backward = layer.op == _CONVOLUTIONS[1]
    image = 1 if backward else 0
    shape = list(layer.arguments[image]["shape"])
    if len(shape) != 4:
        return layer, 1.0
    weight = layer.arguments[image + 1]["shape"]
    samples = max(1, round(shape[0] * part))
    left = part * shape[0] / samples
    rows = min(shape[2], max(weight[2] * 2, round(shape[2] * min(1.0, left))))
    fewer = [samples, shape[1], rows, shape[3]]
    arguments = list(layer.arguments)
    arguments[image] = {"shape": fewer}
    if backward:
        options = arguments[4:10]
        with torch.device("meta"):
            out = aten.convolution(torch.empty(fewer), torch.empty(weight), None, *options)
        arguments[0] = {"shape": list(out.shape)}
    return Layer(layer.op, tuple(arguments), layer.flops, layer.times), samples * rows / (shape[0] * shape[2])


def _call(layer: Layer, dtype: torch.dtype) -> Callable[[], object]:
    """The op on arguments of its shapes. Under autocast a weight comes in float32, and is rounded at each call."""
    name, overload = layer.op.removeprefix("aten.").split(".")
    function = getattr(getattr(aten, name), overload)
    generator = torch.Generator().manual_seed(0)  # the training's own is not to be drawn from
    given = [
        torch.randn(value["shape"], dtype=dtype, generator=generator) if isinstance(value, dict) else value
        for value in layer.arguments
    ]
    if layer.op == _CONVOLUTIONS[0] and dtype != torch.float32:
        weight = given[1].float()
        return lambda: function(given[0], weight.to(dtype), *given[2:])
    return lambda: function(*given)
