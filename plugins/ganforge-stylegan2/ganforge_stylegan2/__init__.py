"""StyleGAN2 for ganforge: style-based networks, path-length regularisation, adaptive augmentation.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", https://arxiv.org/abs/1912.04958."""

from pathlib import Path

from ganforge import Register, hookimpl
from ganforge_stylegan2.adaptive import AdaptiveAugment
from ganforge_stylegan2.diff_augment import diff_augment
from ganforge_stylegan2.discriminator import Discriminator
from ganforge_stylegan2.lazy_adam import lazy_adam
from ganforge_stylegan2.mapping import Mapping
from ganforge_stylegan2.mix_styles import mix_styles
from ganforge_stylegan2.path_length import PathLength
from ganforge_stylegan2.synthesis import Synthesis


@hookimpl
def register_networks(register: Register) -> None:
    register("mapping", Mapping)
    register("synthesis", Synthesis)
    register("discriminator", Discriminator)


@hookimpl
def register_losses(register: Register) -> None:
    register("path_length", PathLength)


@hookimpl
def register_ops(register: Register) -> None:
    register("ada", AdaptiveAugment)
    register("diff_augment", diff_augment)
    register("mix_styles", mix_styles)


@hookimpl
def register_optimizers(register: Register) -> None:
    register("lazy_adam", lazy_adam)


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
