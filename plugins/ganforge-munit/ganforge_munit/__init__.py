"""MUNIT's parts for ganforge: Huang et al. 2018, "Multimodal Unsupervised Image-to-Image Translation",
https://arxiv.org/abs/1804.04732."""

from pathlib import Path

from ganforge import Register, hookimpl
from ganforge_munit.autoencoder import Autoencoder
from ganforge_munit.discriminator import Discriminator
from ganforge_munit.schedules import stepwise_decay


@hookimpl
def register_networks(register: Register) -> None:
    register("autoencoder", Autoencoder)
    register("discriminator", Discriminator)


@hookimpl
def register_schedules(register: Register) -> None:
    register("stepwise_decay", stepwise_decay)


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
