"""pix2pix and pix2pixHD for ganforge, conditional GANs on pairs of pictures: Isola et al. 2017, "Image-to-Image
Translation with Conditional Adversarial Networks", https://arxiv.org/abs/1611.07004, and Wang et al. 2018,
"High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", https://arxiv.org/abs/1711.11585."""

from pathlib import Path

from ganforge import Register, hookimpl
from ganforge_pix2pix import losses
from ganforge_pix2pix.discriminator import MultiscaleDiscriminator
from ganforge_pix2pix.generator import GlobalGenerator
from ganforge_pix2pix.importer import import_pix2pix


@hookimpl
def register_networks(register: Register) -> None:
    register("global_generator", GlobalGenerator)
    register("multiscale_discriminator", MultiscaleDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    for loss in (losses.feature_matching, losses.multiscale_lsgan_d, losses.multiscale_lsgan_g):
        register(loss.__name__, loss)


@hookimpl
def register_importers(register: Register) -> None:
    register("pix2pix", import_pix2pix)


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
