"""The moving average of a network."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized

import torch
from torch import Tensor, nn

from ganforge.core.torch_internals.modules import buffers_in, children_in, parameters_in
from ganforge.core.torch_internals.tensors import lerp_each
from ganforge.step.sharding import own_shard

OWN = ("parameters", "buffers", "named_parameters", "named_buffers", "modules", "named_modules")
"""Methods by which a network tells what it has."""


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
        self._slots: tuple[_Slots, _Slots] | None = None
        self.extras = [
            n
            for n, layer in enumerate(network.modules())
            if type(layer).get_extra_state is not nn.Module.get_extra_state
        ]
        """The layers, by number, that keep more than tensors, by torch's protocol."""

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow the network, which has taken a step."""
        pairs = list(self._pairs(network))
        followed = [pair for pair in pairs if self.updates and pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not (self.updates and pair[0].is_floating_point())]
        if followed:
            averages, values = zip(*followed, strict=True)
            lerp_each(averages, values, 1 - self.decay)
        for average, value in copied:
            average.copy_(value)
        if self.extras:
            ours, theirs = list(self.module.modules()), list(network.modules())
            for number in self.extras:
                ours[number].set_extra_state(copy.deepcopy(theirs[number].get_extra_state()))
        self.updates += 1

    def _pairs(self, network: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        """What is averaged, and what it follows. To walk through the layers takes longer than the average itself."""
        slots = self._slots
        if slots is None or not (slots[0].hold(self.module) and slots[1].hold(network)):
            slots = self._slots = _Slots(self.module), _Slots(network)
        ours, theirs = (each.tensors() for each in slots)
        yield from zip(ours, map(own_shard, theirs), strict=True)


class _Slots:
    """Where the layers of a network keep their parameters and buffers: these may be put in place of others."""

    def __init__(self, network: nn.Module) -> None:
        self.network, layers = network, list(network.modules())
        self.places: list[tuple[Mapping[str, Tensor | None], str]] = []
        self._add(network.parameters(), [parameters_in(layer) for layer in layers])
        self._add(network.buffers(), [buffers_in(layer) for layer in layers])
        self.kept: list[Sized] = [
            d for layer in layers for d in (parameters_in(layer), buffers_in(layer), children_in(layer))
        ]
        self.count = sum(map(len, self.kept))
        # A network with methods of its own for what it has is asked each time.
        self.asked = any(getattr(type(network), name) is not getattr(nn.Module, name) for name in OWN)

    def _add(self, tensors: Iterable[Tensor], kept: Sequence[Mapping[str, Tensor | None]]) -> None:
        """Note where each of the tensors is kept first."""
        by_id = {id(t): (held, name) for held in reversed(kept) for name, t in held.items() if t is not None}
        self.places += [by_id.get(id(tensor), ({"": tensor}, "")) for tensor in tensors]

    def hold(self, network: nn.Module) -> bool:
        """Whether these are a network's, and its layers have what they had, and where."""
        if self.asked or network is not self.network or sum(map(len, self.kept)) != self.count:
            return False
        return all(held.get(name) is not None for held, name in self.places)

    def tensors(self) -> list[Tensor]:
        """The parameters and buffers that the layers hold now."""
        return [held[name] for held, name in self.places]  # type: ignore[misc]  # `hold` has looked
