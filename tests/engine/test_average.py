"""The moving average follows what a network has, wherever its layers keep it by now."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ganforge.training.ema import Average

DECAY = 0.75


class Layered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.bias = self.first.bias  # shared
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("seen", torch.zeros(2))
        self.own: dict[str, Tensor] = {}


class Telling(Layered):
    """It has methods of its own for what it has."""

    def parameters(self, recurse: bool = True):  # type: ignore[no-untyped-def]
        yield from super().parameters(recurse)


def plain(values: list[Tensor], decay: float = DECAY) -> Tensor:
    """`a <- decay a + (1 - decay) w`, from the first value on."""
    average = values[0]
    for value in values[1:]:
        average = decay * average + (1 - decay) * value
    return average


def new_tensors(network: Layered) -> None:
    """Other objects in the places of the old ones."""
    network.first.weight = nn.Parameter(torch.rand(2, 2))
    network.seen = torch.rand(2)


def in_place(network: Layered) -> None:
    with torch.no_grad():
        for tensor in (*network.parameters(), network.seen):
            tensor.uniform_()


@pytest.mark.parametrize("kind", [Layered, Telling])
@pytest.mark.parametrize("change", [in_place, new_tensors])
def test_it_follows_tensors_that_change_and_those_put_in_their_place(
    change: Callable[[Layered], None], kind: type[Layered]
) -> None:
    torch.manual_seed(0)
    network = kind()
    average = Average(network, DECAY)
    values: dict[str, list[Tensor]] = {}
    for step in range(5):
        change(network)
        network.norm.num_batches_tracked.fill_(step)
        average.update(network)
        for name, tensor in network.state_dict().items():
            values.setdefault(name, []).append(tensor.clone())
    for name, tensor in average.module.state_dict().items():
        wanted = plain(values[name]) if tensor.is_floating_point() else values[name][-1]
        torch.testing.assert_close(tensor, wanted, msg=name)


def test_what_is_shared_is_averaged_once() -> None:
    network = Layered()
    average = Average(network, DECAY)
    before = network.first.bias.detach().clone()
    average.update(network)
    with torch.no_grad():
        network.first.bias += 1
    average.update(network)
    torch.testing.assert_close(average.module.second.bias, before + 1 - DECAY)


def test_a_layer_that_comes_later_is_no_secret() -> None:
    network = Layered()
    average = Average(network, DECAY)
    average.update(network)
    network.late = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="zip"):
        average.update(network)


def test_the_layers_are_walked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Layered()
    average = Average(network, DECAY)
    average.update(network)
    monkeypatch.setattr(nn.Module, "named_modules", pytest.fail)
    average.update(network)
