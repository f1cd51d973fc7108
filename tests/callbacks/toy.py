"""A GAN of one convolution a network, as a plain-file plugin: what callbacks see of it is all that matters here."""

from torch import Tensor, nn

from ganforge import Register, hookimpl, traits


def paint() -> nn.Module:
    return nn.Conv2d(3, 3, 3, padding=1)


def judge() -> nn.Module:
    return nn.Conv2d(3, 1, 3, padding=1)


@traits(scores=("fake",))
def fool(fake: Tensor) -> Tensor:
    return (fake - 1).square().mean()


@traits(scores=("real", "fake"))
def catch(real: Tensor, fake: Tensor) -> Tensor:
    return (real - 1).square().mean() + fake.square().mean()


def brightness(input: Tensor) -> Tensor:
    return input.mean()


@hookimpl
def register_networks(register: Register) -> None:
    register("paint", paint)
    register("judge", judge)


@hookimpl
def register_losses(register: Register) -> None:
    register("fool", fool)
    register("catch", catch)


@hookimpl
def register_metrics(register: Register) -> None:
    register("brightness", brightness)
