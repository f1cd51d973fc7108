"""`check_network` refuses each defect by name, and lets sound networks pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganforge import traits
from ganforge.testing import CheckFailed, check_network


class Plain(nn.Module):
    """A convolution and what a test puts behind it."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class BatchNormed(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


@traits(couples_samples=True)
class Spread(nn.Module):
    """The standard deviation over the batch, as one more channel."""

    def forward(self, x: Tensor) -> Tensor:
        spread = (x.var(0, correction=0) + 1e-8).sqrt().mean().expand(len(x), 1, *x.shape[2:])
        return torch.cat((x, spread), 1)


class WithSpread(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.spread = Spread()

    def forward(self, x: Tensor) -> Tensor:
        return self.spread(self.conv(x))


class Verdict(NamedTuple):
    logits: Tensor
    features: list[Tensor]


class Judge(Plain):
    """Shows its features, and takes labels."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = nn.Embedding(3, 4)

    def forward(self, x: Tensor, label: Tensor) -> Verdict:
        features = self.conv(x).relu()
        return Verdict((features.mean((2, 3)) * self.labels(label)).sum(1), [features])

    def encode(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project = nn.LazyLinear(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x.flatten(1))


def plain(channels: int = 4) -> nn.Module:
    """A network made by a function."""
    return Plain(channels)


SOUND: dict[str, tuple[Callable[..., nn.Module], tuple[Any, ...], dict[str, Any]]] = {
    "plain": (Plain, ((2, 3, 8, 8),), {"channels": 2}),
    "function": (plain, ((3, 3, 8, 8),), {}),
    "batch_normed": (BatchNormed, ((2, 3, 8, 8),), {}),
    "with_spread": (WithSpread, ((2, 3, 8, 8),), {}),
    "lazy": (Lazy, ((2, 3, 4, 4),), {}),
    "judge": (Judge, ((2, 3, 8, 8), torch.tensor([0, 2])), {}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_network_passes(name: str) -> None:
    network, inputs, options = SOUND[name]
    check_network(network, *inputs, **options)


def test_a_method_is_checked_by_its_name() -> None:
    check_network(Judge, (2, 3, 8, 8), method="encode", skip=("gradients",))


# Defects


class Infinite(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) / 0


class Pooled(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean()


class Own(Plain):
    """Draws its weights from NumPy."""

    def __init__(self) -> None:
        super().__init__()
        self.conv.weight.data += torch.from_numpy(np.random.default_rng().normal(size=(4, 3, 3, 3))).float()


class Looks(Plain):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y if y.mean() > 100 else y + 1


class Idle(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)


class Steep(Plain):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + (y - y).abs().sqrt()


class Coupled(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) - self.conv(x).mean(0)


@traits(couples_samples=True)
class Falsely(Plain):
    pass


class Counting(Plain):
    """Keeps a tensor that no state_dict holds."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += self.training
        return self.conv(x) + self.seen


class Strided(Plain):
    """Takes a memory order for granted."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y.as_strided((len(y), y[0].numel()), (y[0].numel(), 1)) * torch.arange(y[0].numel()).to(y)


class Hardwired(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).float()


class Single(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) @ torch.eye(8)


class Changing(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.mul_(2))


class Eval(BatchNormed):
    def forward(self, x: Tensor) -> Tensor:
        self.norm.eval()
        return super().forward(x)


class Deaf(Plain):
    """Nothing that comes before it could learn."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.detach())


class Sums(Plain):
    """Adds up the samples before each: the first one sees no other."""

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).cumsum(0)


class HiddenCoupling(Plain):
    """Behind a layer that starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + self.gate * y.mean(0)


class OnTheCpu(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)


class Loose(Plain):
    """Keeps a tensor that does not move with it."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.ones(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shift


DEFECTS: dict[str, tuple[Callable[..., nn.Module], str]] = {
    "infinite": (Infinite, r"\[output\]: its first weights give NaN"),
    "pooled": (Pooled, r"\[output\]: it returns \[\] for a batch of 2: the first size should be the batch's"),
    "own": (Own, r"\[seed\]: one seed builds two sets of weights"),
    "looks": (Looks, r"\[fake\]: DataDependentOutputException"),
    "idle": (Idle, r"\[gradients\]: 'unused.weight' gets no gradient; so it is with 2 of 4 parameters"),
    "steep": (Steep, r"\[gradients\]: the gradient of 'conv.weight' is NaN or infinite"),
    "changing": (Changing, r"\[output\]: it changes its inputs"),
    "eval": (Eval, r"\[output\]: it calls eval\(\) on itself"),
    "deaf": (Deaf, r"\[gradients\]: no input gets a gradient"),
    "sums": (Sums, r"\[samples\]: a sample's output depends on the other samples"),
    "hidden_coupling": (HiddenCoupling, r"\[samples\]: a sample's output depends"),
    "on_the_cpu": (OnTheCpu, r"\[device\]: it mixes devices"),
    "loose": (Loose, r"\[device\]: it mixes devices: .*keep what a module needs in buffers"),
    "coupled": (Coupled, r"\[samples\]: a sample's output depends on the other samples"),
    "falsely": (Falsely, r"\[samples\]: it is declared to couple the samples of a batch, but does not"),
    "counting": (Counting, r"\[state\]: a checkpoint does not hold all of it"),
    "strided": (Strided, r"\[channels_last\]: in channels_last it computes something else"),
    "hardwired": (Hardwired, r"\[float64\]: its output is not float64"),
    "single": (Single, r"\[float64\]: RuntimeError: .*same"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_named(name: str) -> None:
    network, message = DEFECTS[name]
    with pytest.raises(CheckFailed, match=f"(?s){network.__name__} {message}"):
        check_network(network, (2, 3, 8, 8))


def test_a_wait_is_found_where_fake_tensors_are_skipped() -> None:
    with pytest.raises(CheckFailed, match=r"Looks \[waiting\]: it asks for a tensor's value"):
        check_network(Looks, (2, 3, 8, 8), skip=("fake",))


def test_options_are_checked_as_a_recipe_does() -> None:
    with pytest.raises(CheckFailed, match="Plain: 'channels' should be a whole number, not 'four'"):
        check_network(Plain, (2, 3, 8, 8), channels="four")
