"""A plugin with parts that recipes use wrongly, or that do what they should not."""

from typing import NamedTuple

from torch import Tensor, nn

from ganforge import Progress, Register, hookimpl


def l1(input: Tensor, target: Tensor) -> Tensor:
    """The name of a built-in loss."""
    return (input - target).abs().mean()


def lsgan_g(fake: Tensor) -> Tensor:
    """The name of another plugin's loss."""
    return fake.mean()


def jitter(images: Tensor) -> Tensor:
    """The name of an op of `lookalike_too`."""
    return images


class Memory:
    """An op with a method."""

    def __call__(self, images: Tensor) -> Tensor:
        return images

    def watch(self, images: Tensor) -> Tensor:
        return images


def failing(progress: Progress) -> float:
    """A schedule that raises."""
    raise ValueError("no tide tables for this year; bring some")


def number(input: Tensor, target: Tensor) -> float:
    """No tensor."""
    return 1.0


def map(input: Tensor, target: Tensor) -> Tensor:
    """A number for each pixel."""
    return (input - target).abs()


class Verdict(NamedTuple):
    logits: Tensor
    features: Tensor


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 4)

    def forward(self, images: Tensor) -> Verdict:
        logits = self.layer(images)
        return Verdict(logits, logits)


def judge() -> nn.Module:
    """A network of which nothing is known before it is built."""
    return Judge()


@hookimpl
def register_losses(register: Register) -> None:
    register("l1", l1)
    register("lsgan_g", lsgan_g)
    register("number", number)
    register("map", map)


@hookimpl
def register_networks(register: Register) -> None:
    register("judge", judge)


@hookimpl
def register_ops(register: Register) -> None:
    register("jitter", jitter)
    register("memory", Memory)


@hookimpl
def register_schedules(register: Register) -> None:
    register("failing", failing)
