"""A small seeded network whose features stand for Inception's: as a plain-file plugin, and for the tests themselves."""

import torch
from torch import Tensor, nn

from ganforge import Register, hookimpl


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


@hookimpl
def register_ops(register: Register) -> None:
    register("seen", Seen)
    register("fussy", Fussy)
