"""CycleGAN's parts for ganforge: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent
Adversarial Networks", https://arxiv.org/abs/1703.10593."""

from pathlib import Path

from ganforge import Register, hookimpl
from ganforge_cyclegan.discriminators import PatchDiscriminator, PixelDiscriminator
from ganforge_cyclegan.generators import ResnetGenerator, UnetGenerator
from ganforge_cyclegan.importer import import_cyclegan
from ganforge_cyclegan.replay_buffer import ReplayBuffer


@hookimpl
def register_networks(register: Register) -> None:
    register("resnet_generator", ResnetGenerator)
    register("unet_generator", UnetGenerator)
    register("patch_discriminator", PatchDiscriminator)
    register("pixel_discriminator", PixelDiscriminator)


@hookimpl
def register_ops(register: Register) -> None:
    register("replay_buffer", ReplayBuffer)


@hookimpl
def register_importers(register: Register) -> None:
    register("cyclegan", import_cyclegan)


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
