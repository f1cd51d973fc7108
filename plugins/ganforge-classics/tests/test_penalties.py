"""Penalties of a discriminator whose slope is known: `D(x) = sum(a x^2) / 2` has the slope `a x`."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ganforge.testing import check_loss, check_op
from ganforge_classics import ops, penalties

SLOPE = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)


def verdict(images: Tensor) -> Tensor:
    return (SLOPE * images.square() / 2).sum(1, keepdim=True)


def points() -> Tensor:
    return torch.tensor([[1.0, 2.0, 4.0], [0.5, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)


def test_r1_is_the_mean_squared_slope() -> None:
    images = points()
    # The slopes are (2, -2, 2) and (1, 0, 0).
    assert penalties.r1(verdict(images), images).item() == pytest.approx((12 + 1) / 2)


@pytest.mark.parametrize("target", [0.0, 1.0, 3.0])
def test_gradient_penalty_is_the_mean_squared_distance_of_slopes_to_the_target(target: float) -> None:
    images = points()
    expected = ((12**0.5 - target) ** 2 + (1 - target) ** 2) / 2
    assert penalties.gradient_penalty(verdict(images), images, target).item() == pytest.approx(expected)


@pytest.mark.parametrize("penalty", [penalties.r1, penalties.gradient_penalty])
def test_the_discriminator_learns_from_its_slope(penalty: Callable[[Tensor, Tensor], Tensor]) -> None:
    critic = nn.Linear(3, 1, bias=False).double()
    images = points()
    penalty(critic(images), images).backward()  # type: ignore[no-untyped-call]
    slope = critic.weight.detach()
    norm = slope.norm()
    expected = 2 * slope if penalty is penalties.r1 else 2 * (norm - 1) * slope / norm
    assert critic.weight.grad is not None
    torch.testing.assert_close(critic.weight.grad, expected)


@pytest.mark.parametrize("penalty", [penalties.r1, penalties.gradient_penalty])
def test_penalties_keep_what_the_engine_relies_on(penalty: Callable[..., Tensor]) -> None:
    check_loss(penalty, logits=lambda images: images.square().mean((1, 2, 3)) + images.mean((1, 2, 3)))


def test_interpolate_takes_one_share_for_each_pair() -> None:
    real, fake = torch.zeros(64, 2, 3, 3), torch.ones(64, 2, 3, 3)
    real[:, 0] = -1
    between = ops.interpolate(real, fake)
    shares = between[:, 1, 0, 0]
    assert torch.equal(between[:, 1], shares[:, None, None].expand(-1, 3, 3))
    torch.testing.assert_close(between[:, 0], (2 * shares - 1)[:, None, None].expand(-1, 3, 3))
    assert len(set(shares.tolist())) == 64
    assert 0 <= shares.min() < 0.2 < 0.8 < shares.max() < 1


def test_perturb_moves_each_value_up_to_half_a_standard_deviation() -> None:
    torch.manual_seed(0)
    real = torch.randn(4096, 2, dtype=torch.float64) * 3
    moved = (ops.perturb(real) - real) / real.std(correction=0)
    assert moved.min() >= 0
    assert 0.45 < moved.max() < 0.5
    # A uniform share of a uniform number has the mean 1/4; both values of a sample have one share in common.
    assert moved.mean().item() == pytest.approx(0.5 / 4, rel=0.03)
    assert torch.corrcoef(moved.T)[0, 1] > 0.3


def test_ops_keep_what_the_engine_relies_on() -> None:
    check_op(ops.interpolate, (4, 3, 8, 8), (4, 3, 8, 8))
    check_op(ops.perturb, (4, 3, 8, 8))


def test_perturb_scales() -> None:
    real = torch.randn(16, 2)
    torch.manual_seed(0)
    near = ops.perturb(real, 0.1) - real
    torch.manual_seed(0)
    torch.testing.assert_close(5 * near, ops.perturb(real) - real)
