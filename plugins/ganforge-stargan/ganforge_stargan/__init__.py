"""StarGAN's parts for ganforge: Choi et al. 2018, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain
Image-to-Image Translation", https://arxiv.org/abs/1711.09020."""

from pathlib import Path

from ganforge import Register, hookimpl
from ganforge_stargan.classification import classification
from ganforge_stargan.discriminator import Discriminator
from ganforge_stargan.generator import Generator


@hookimpl
def register_networks(register: Register) -> None:
    register("generator", Generator)
    register("discriminator", Discriminator)


@hookimpl
def register_losses(register: Register) -> None:
    register("classification", classification)


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
