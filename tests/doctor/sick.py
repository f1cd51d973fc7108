"""A plugin of parts that are ill; tests load it as a plain file."""

import random
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganforge import Samples, hookimpl
from ganforge.builtin.datasets import Shapes


class Translator(nn.Module):
    """`[N, 3, H, W]` to the same, with a view of 7 px."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = (
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Conv2d(8, 3, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.last(F.relu(self.middle(F.relu(self.first(x))))))


class Residual(Translator):
    """Begins near to what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.05 * super().forward(x)


class Linear(nn.Module):
    """`gain * x + offset`, of which the gain is learnt for each colour."""

    def __init__(self, gain: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.gain, self.offset = nn.Parameter(torch.full((3, 1, 1), gain)), offset

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x + self.offset


class Constant(nn.Module):
    """One picture for everything."""

    def __init__(self, size_px: int = 32) -> None:
        super().__init__()
        self.picture = nn.Parameter(torch.randn(3, size_px, size_px) / 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.picture).expand(len(x), -1, -1, -1)


class Level(nn.Module):
    """One brightness for every pixel of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.level.expand(x.shape)


class Scales(nn.Module):
    """Weighs brightness: a discriminator that, with `Level`, plays the game that goes round and round.

    It is the Dirac GAN of Mescheder et al. 2018, https://arxiv.org/abs/1801.04406, section 2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.offset = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.mean((1, 2, 3)) + self.offset


class Upsampling(nn.Module):
    """Halves, and doubles with kernels that overlap unevenly."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 3, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.up(F.avg_pool2d(x, 2)))


class Saturated(Translator):
    """Has all its outputs at the ends of tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(1e6 * (super().forward(x) + x))


class Critic(nn.Module):
    """Patch logits."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 4, 2, 1), nn.Conv2d(8, 1, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.leaky_relu(self.first(x), 0.2))


class Calls:
    """Counts, from 1."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Tensor:
        self.count += 1
        return torch.tensor(float(self.count))


def often_nan(input: Tensor, calls: Tensor) -> Tensor:
    """NaN at every third call."""
    return input.mean() * torch.where(calls % 3 == 0, torch.nan, 0.0)


def steep(input: Tensor) -> Tensor:
    """Finite, with a gradient that fp16 cannot hold."""
    return (input * 1e20).mean()


class Slow(Shapes):
    """Takes its time."""

    def train(self) -> Samples:
        samples = super().train()
        quick = samples.sample

        def sample(index: int, rng: random.Random) -> dict[str, Tensor]:
            time.sleep(0.05)
            return quick(index, rng)

        samples.sample = sample  # type: ignore[method-assign]
        return samples


@hookimpl
def register_networks(register: Callable[..., None]) -> None:
    for network in (Translator, Residual, Linear, Constant, Level, Scales, Upsampling, Saturated, Critic):
        register(network.__name__.lower(), network)


@hookimpl
def register_ops(register: Callable[..., None]) -> None:
    register("calls", Calls)


@hookimpl
def register_losses(register: Callable[..., None]) -> None:
    register("often_nan", often_nan)
    register("steep", steep)


@hookimpl
def register_datasets(register: Callable[..., None]) -> None:
    register("slow", Slow)
