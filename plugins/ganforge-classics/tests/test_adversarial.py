"""Each formula against plain arithmetic on Python's floats."""

import math
from collections.abc import Callable
from statistics import fmean

import pytest
import torch
from torch import Tensor

from ganforge.testing import check_loss
from ganforge_classics import adversarial

REAL = [-2.5, -0.3, 0.0, 0.7, 1.4, 22.0]
FAKE = [-21.0, -1.1, 0.2, 3.0]


def cross_entropy(probability: float) -> float:
    return -math.log(probability)


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


FORMULAS_G: list[tuple[Callable[[Tensor], Tensor], Callable[[float], float]]] = [
    (adversarial.lsgan_g, lambda fake: (fake - 1) ** 2),
    (adversarial.vanilla_g, lambda fake: cross_entropy(sigmoid(fake))),
    (adversarial.hinge_g, lambda fake: -fake),
    (adversarial.wgan_g, lambda fake: -fake),
]
FORMULAS_D: list[tuple[Callable[[Tensor, Tensor], Tensor], Callable[[float], float], Callable[[float], float]]] = [
    (adversarial.lsgan_d, lambda real: (real - 1) ** 2, lambda fake: fake**2),
    (adversarial.vanilla_d, lambda real: cross_entropy(sigmoid(real)), lambda fake: cross_entropy(sigmoid(-fake))),
    (adversarial.hinge_d, lambda real: max(0, 1 - real), lambda fake: max(0, 1 + fake)),
    (adversarial.wgan_d, lambda real: -real, lambda fake: fake),
]


def logits(values: list[float], *shape: int) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


@pytest.mark.parametrize(("loss", "formula"), FORMULAS_G)
def test_generator_losses(loss: Callable[[Tensor], Tensor], formula: Callable[[float], float]) -> None:
    value = loss(logits(FAKE, 2, 1, 1, 2))
    assert value.shape == ()
    assert value.item() == pytest.approx(fmean(map(formula, FAKE)), rel=1e-13)
    assert loss.scores == ("fake",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("loss", "of_real", "of_fake"), FORMULAS_D)
def test_discriminator_losses(
    loss: Callable[[Tensor, Tensor], Tensor], of_real: Callable[[float], float], of_fake: Callable[[float], float]
) -> None:
    value = loss(logits(REAL, 6), logits(FAKE, 2, 1, 1, 2))
    assert value.shape == ()
    assert value.item() == pytest.approx(fmean(map(of_real, REAL)) + fmean(map(of_fake, FAKE)), rel=1e-13)
    assert loss.scores == ("real", "fake")  # type: ignore[attr-defined]


def test_cross_entropy_keeps_its_value_and_gradient_at_hopeless_logits() -> None:
    fake = torch.tensor([-1000.0, 1000.0], requires_grad=True)
    loss = adversarial.vanilla_g(fake)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 500
    assert fake.grad is not None
    assert fake.grad.tolist() == [-0.5, 0.0]


@pytest.mark.parametrize("loss", [formula[0] for formula in FORMULAS_D])
def test_losses_can_be_differentiated_twice(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    real, fake = logits(REAL[:5], 5).requires_grad_(), logits(FAKE[1:], 3).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda real, fake: loss(real**2, fake**2), (real, fake))


@pytest.mark.parametrize("loss", [formula[0] for formula in (*FORMULAS_G, *FORMULAS_D)])
def test_losses_keep_what_the_engine_relies_on(loss: Callable[..., Tensor]) -> None:
    check_loss(loss)
