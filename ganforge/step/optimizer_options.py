"""Options of an optimizer that move with the training, in the places where the optimizer keeps them.

A constructor may give its groups of parameters different numbers, no decay for biases, a tenth of the rate for one
network, or keep an option under another name. So it is asked: the optimizer is built with three values of the option,
and what changes with them is where the option is kept. A schedule then gives each group what the constructor would.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

Path = Sequence[str | int]
"""The way to an option: `("lr",)`, or `("betas", 1)`."""
Build = Callable[[dict[str, Any]], Optimizer]
Number = tuple[int, str, int | None]
"""The place of a number in an optimizer: the group, the key, and the index in a tuple."""
PRECISE = 1e-9


class NoPlace(ValueError):
    """Why an option cannot be a schedule, in words."""


@dataclass(frozen=True)
class Place:
    """Where an option is kept, as `slope * option + offset`."""

    number: Number
    slope: float
    offset: float

    def of(self, value: float) -> float:
        """The number that stands there for this value of the option."""
        if (self.slope, self.offset) == (1.0, 0.0):
            return value
        return self.slope * value + self.offset


def places(build: Build, options: dict[str, Any], path: Path) -> list[Place]:
    """Where an optimizer keeps an option.

    Raises:
        NoPlace: nowhere, or not in proportion.
    """
    now = float(option(options, path))
    probes = [now, *((0.5 * now, 0.75 * now) if now else (0.5, 0.25))]
    found = []
    for value in probes:
        try:
            found.append(numbers(build(replaced(options, path, value))))
        except Exception:  # it does not take such a value
            found.append({})
    if any(each.keys() != found[0].keys() for each in found):  # by its value it makes other groups
        return _by_name(found[0], now, path)
    kept = [place for number in found[0] if (place := _place(number, probes, [each[number] for each in found]))]
    if not kept:
        raise NoPlace("the optimizer keeps it nowhere in its param_groups, where a schedule could change it")
    return kept


def _place(number: Number, probes: Sequence[float], values: Sequence[float]) -> Place | None:
    if len(set(values)) == 1:
        return None
    if list(values) == list(probes):
        return Place(number, 1.0, 0.0)
    slope = (values[1] - values[0]) / (probes[1] - probes[0])
    offset = values[0] - slope * probes[0]
    if abs(offset) <= PRECISE * max(map(abs, values)):
        slope, offset = (values[0] / probes[0] if probes[0] else slope), 0.0
    if abs(slope * probes[2] + offset - values[2]) > PRECISE * max(map(abs, values)):
        raise NoPlace(f"the optimizer makes a '{number[1]}' of it that is not in proportion")
    return Place(number, slope, offset)


def _by_name(found: dict[Number, float], now: float, path: Path) -> list[Place]:
    """Groups that have the option under its own name, each in its proportion."""
    key, index = str(path[0]), int(path[1]) if len(path) > 1 else None
    own = {number: value for number, value in found.items() if number[1:] == (key, index)}
    kept = [Place(number, value / now if now else 1.0, 0.0) for number, value in own.items() if now or value == now]
    if not kept:
        raise NoPlace("the optimizer keeps it nowhere in its param_groups, where a schedule could change it")
    return kept


def numbers(optimizer: Optimizer) -> dict[Number, float]:
    """All numbers in an optimizer's groups."""
    return {
        (number, key, index): float(value)
        for number, group in enumerate(optimizer.param_groups)
        for key, held in group.items()
        if key != "params"
        for index, value in (enumerate(held) if isinstance(held, list | tuple) else [(None, held)])
        if _is_number(value)
    }


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.is_floating_point()
    return isinstance(value, int | float) and not isinstance(value, bool)


def write(optimizer: Optimizer, place: Number, value: float) -> None:
    """Put a number into a group; a tensor is filled, as kernels may have its address."""
    group, key, index = place
    held = optimizer.param_groups[group][key]
    if index is None:
        optimizer.param_groups[group][key] = _filled(held, value)
    else:
        items = [_filled(item, value) if n == index else item for n, item in enumerate(held)]
        optimizer.param_groups[group][key] = items if isinstance(held, list) else tuple(items)


def _filled(held: Any, value: float) -> Any:
    return held.fill_(value) if isinstance(held, Tensor) else value


def option(options: dict[str, Any], path: Path) -> Any:
    """An option by its path."""
    value: Any = options
    for step in path:
        value = value[step]
    return value


def replaced(options: Any, path: Path, value: Any) -> dict[str, Any]:
    """The options with another value at a path."""
    if not path:
        return value
    step, *rest = path
    if isinstance(options, dict):
        return {**options, step: replaced(options[step], rest, value)}
    items = [replaced(item, rest, value) if n == step else copy.copy(item) for n, item in enumerate(options)]
    return items if isinstance(options, list) else tuple(items)  # type: ignore[return-value]
