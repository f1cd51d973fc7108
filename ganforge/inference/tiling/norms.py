"""Norms over all pixels: their statistics from tiles, and what they give with statistics that are known."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge.inference.tiling.tape import Kind, Operation, Untileable, Value, Values


@dataclass(frozen=True)
class Statistics:
    """The mean and biased variance of a map's channels over all pixels, `[C]` each."""

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Norm:
    """An instance norm or a group norm, as a tape calls it."""

    input: int
    """The number of the value that it normalises."""
    groups: int | None
    """How many groups of channels share statistics; with none, each channel has its own."""
    weight: Tensor | None
    bias: Tensor | None
    epsilon: float
    dtype: torch.dtype
    """The type of the norm's result."""

    @classmethod
    def of(cls, operation: Operation, kinds: dict[int, Kind]) -> Norm | None:
        """The norm that an operation is, or None.

        Raises:
            Untileable: it is one, of something that is no batch of maps.
        """
        if operation.function not in _SIGNATURES:
            return None
        given = _SIGNATURES[operation.function].bind(*operation.arguments, **operation.keywords)
        given.apply_defaults()
        options: dict[str, Any] = given.arguments
        if not options.get("use_input_stats", True):
            return None  # running statistics are the same in every tile
        value, weight, bias = options["input"], options["weight"], options["bias"]
        if len(kinds[value.number].shape) != 4 or isinstance(weight, Value) or isinstance(bias, Value):
            raise Untileable(f"its {operation.name} is not one over the pixels of a picture")
        dtype = kinds[operation.results[0]].dtype
        return cls(value.number, options.get("num_groups"), weight, bias, options["eps"], dtype)

    def apply(self, values: Values, statistics: Statistics) -> Tensor:
        """Normalise a piece `[1, C, H, W]` of the map with the statistics of all of it."""
        x_1CHW = values[self.input].to(self.dtype)
        kind = torch.float64 if self.dtype == torch.float64 else torch.float32
        mean, variance = (s.to(x_1CHW.device, kind) for s in (statistics.mean, statistics.variance))
        return F.batch_norm(x_1CHW, mean, variance, self.weight, self.bias, False, 0.0, self.epsilon)


_SIGNATURES: dict[Any, inspect.Signature] = {f: inspect.signature(f) for f in (F.instance_norm, F.group_norm)}


class Sums:
    """Statistics from pieces: each one's own are merged in float64 (Chan et al. 1979), so that no digits cancel."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, x_1CHW: Tensor) -> None:
        """Take in a piece of the map."""
        if not x_1CHW.numel():
            return
        wide = x_1CHW if x_1CHW.dtype == torch.float64 else x_1CHW.float()
        variance, mean = (s.cpu().double() for s in torch.var_mean(wide, (0, 2, 3), correction=0))
        count = x_1CHW.shape[2] * x_1CHW.shape[3]
        total = self.count + count
        apart = mean - self.mean
        self.mean = self.mean + apart * (count / total)
        self.squares = self.squares + variance * count + apart.square() * (self.count * count / total)
        self.count = total

    def statistics(self, groups: int | None) -> Statistics:
        """The statistics of all pieces together; channels of a group have the same."""
        mean, variance = self.mean, self.squares / self.count
        if groups is None:
            return Statistics(mean, variance)
        means, variances = mean.view(groups, -1), variance.view(groups, -1)
        shared = means.mean(1, keepdim=True)
        variance = (variances + (means - shared).square()).mean(1, keepdim=True)
        return Statistics(shared.expand_as(means).flatten(), variance.expand_as(means).flatten())
