"""The moving average of a network."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ganforge.engine.sharding import part


class Average:
    """A copy of a network whose weights and buffers follow it slowly: `a <- decay * a + (1 - decay) * w`.

    It starts as the network is after its first update. Unlike torch's `AveragedModel` it never waits for the device,
    and it copies whole numbers (the batches that a norm has seen) instead of truncating their average, and what
    `get_extra_state` gives.
    """

    def __init__(self, network: nn.Module, decay: float, module: nn.Module | None = None) -> None:
        """`module` is the copy, where the network cannot be copied."""
        self.module = copy.deepcopy(network) if module is None else module
        if module is None:
            if not isinstance(self.module, nn.Module):
                raise TypeError("its copy is no nn.Module")
            self.module.requires_grad_(False)
        self.decay, self.updates = decay, 0
        self.extras = [n for n, layer in enumerate(network.modules()) if has_extra_state(layer)]
        """The layers, by number, that keep more than tensors."""

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow the network, which has taken a step."""
        followed = [pair for pair in self._pairs(network) if self.updates and pair[0].is_floating_point()]
        copied = [pair for pair in self._pairs(network) if not (self.updates and pair[0].is_floating_point())]
        if followed:
            averages, values = zip(*followed, strict=True)
            torch._foreach_lerp_(averages, values, 1 - self.decay)
        for average, value in copied:
            average.copy_(value)
        if self.extras:
            ours, theirs = list(self.module.modules()), list(network.modules())
            for number in self.extras:
                ours[number].set_extra_state(copy.deepcopy(theirs[number].get_extra_state()))
        self.updates += 1

    def _pairs(self, network: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self.module.parameters(), map(part, network.parameters()), strict=True)
        yield from zip(self.module.buffers(), network.buffers(), strict=True)


def has_extra_state(layer: nn.Module) -> bool:
    """Whether a layer keeps something beside parameters and buffers, by torch's protocol."""
    return type(layer).get_extra_state is not nn.Module.get_extra_state
