"""The classics for ganforge: adversarial losses, gradient penalties, and the networks of the first years of GANs."""

from pathlib import Path

from ganforge import Register, hookimpl
from ganforge_classics import adversarial, penalties


@hookimpl
def register_losses(register: Register) -> None:
    for loss in (
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
def register_recipes(register: Register) -> None:
    for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml")):
        register(path.stem, path)
