"""A small seeded network whose features stand for Inception's: as a plain-file plugin, and for the tests themselves."""

from collections import Counter

import torch
from torch import Tensor, nn

from ganforge import Metric, Register, hookimpl, traits


def network() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).requires_grad_(False)


class Seen:
    """Features `[N, 6]` of pictures."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            self.network = network()

    def __call__(self, images: Tensor) -> Tensor:
        return self.network(images.float().expand(-1, 3, -1, -1))


class Fussy(Seen):
    """An op that lacks something."""

    def prepare(self) -> None:
        from ganforge import EnvironmentFault

        raise EnvironmentFault("the seven seals are missing\n  break them first")


class HowMany(Metric):
    """The samples that it was given."""

    compares_sets = True

    def __init__(self) -> None:
        self.counts = Counter[str]()

    def update(self, real: Tensor, fake: Tensor) -> None:
        self.counts.update(real=len(real), fake=len(fake))

    def compute(self) -> dict[str, float]:
        return dict(self.counts)


class HowManyPairs(HowMany):
    """The same, of pairs."""

    compares_sets = False


@traits(better="lower")
def distance(number: Tensor, wanted: float) -> Tensor:
    """How far a number is from what is wanted."""
    return (number - wanted).abs().mean()


def faded(images: Tensor, by: float) -> Tensor:
    """A number for each picture."""
    return images.new_full((len(images),), by)


@hookimpl
def register_metrics(register: Register) -> None:
    register("distance", distance)
    register("how_many", HowMany)
    register("how_many_pairs", HowManyPairs)


@hookimpl
def register_ops(register: Register) -> None:
    register("faded", faded)
    register("seen", Seen)
    register("fussy", Fussy)
