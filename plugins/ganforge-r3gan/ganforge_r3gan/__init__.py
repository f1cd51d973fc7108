"""R3GAN for ganforge: the relativistic GAN with zero-centred penalties, and its modern networks.

Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline", https://arxiv.org/abs/2501.05441.
"""

from pathlib import Path

from ganforge import Register, hookimpl
from ganforge_r3gan.discriminator import Discriminator
from ganforge_r3gan.generator import Generator
from ganforge_r3gan.losses import relativistic_d, relativistic_g


@hookimpl
def register_networks(register: Register) -> None:
    register("generator", Generator)
    register("discriminator", Discriminator)


@hookimpl
def register_losses(register: Register) -> None:
    register("relativistic_g", relativistic_g)
    register("relativistic_d", relativistic_d)


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
