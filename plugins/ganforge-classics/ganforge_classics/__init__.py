"""The classics for ganforge: adversarial losses, gradient penalties, and the networks of the first years of GANs."""

from pathlib import Path

from ganforge import Register, hookimpl
from ganforge_classics import acgan, adversarial, dcgan, mlp, ops, penalties, sngan, spots
from ganforge_classics.coverage import RingCoverage
from ganforge_classics.ring import Ring


@hookimpl
def register_networks(register: Register) -> None:
    register("dcgan_generator", dcgan.DcganGenerator)
    register("dcgan_discriminator", dcgan.DcganDiscriminator)
    register("sngan_generator", sngan.SnganGenerator)
    register("sngan_discriminator", sngan.SnganDiscriminator)
    register("acgan_discriminator", acgan.AcganDiscriminator)
    register("mlp_generator", mlp.MlpGenerator)
    register("mlp_discriminator", mlp.MlpDiscriminator)


@hookimpl
def register_losses(register: Register) -> None:
    for loss in (
        acgan.cross_entropy,
        adversarial.hinge_d,
        adversarial.hinge_g,
        adversarial.lsgan_d,
        adversarial.lsgan_g,
        adversarial.vanilla_d,
        adversarial.vanilla_g,
        adversarial.wgan_d,
        adversarial.wgan_g,
        penalties.gradient_penalty,
        penalties.r1,
    ):
        register(loss.__name__, loss)


@hookimpl
def register_ops(register: Register) -> None:
    for op in (ops.interpolate, ops.perturb, spots.centroid):
        register(op.__name__, op)


@hookimpl
def register_datasets(register: Register) -> None:
    register("ring", Ring)
    register("spots", spots.Spots)


@hookimpl
def register_metrics(register: Register) -> None:
    register("ring", RingCoverage)
    register("spot_error", spots.spot_error)


@hookimpl
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
