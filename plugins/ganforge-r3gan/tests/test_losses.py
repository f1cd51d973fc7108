import math
from collections.abc import Callable
from statistics import fmean

import pytest
import torch
from torch import Tensor

from ganforge.testing import check_loss
from ganforge_r3gan.losses import relativistic_d, relativistic_g

REAL = [-2.5, -0.3, 0.0, 0.7, 1.4, 12.0]
FAKE = [0.5, -1.1, 0.2, 3.0, -4.0, 1.0]
LOSSES = [relativistic_g, relativistic_d]


def surprise(margin: float) -> float:
    """Of an event whose logit is `margin`."""
    return math.log(1 + math.exp(-margin))


def logits(values: list[float], *shape: int) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(shape or (-1,))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_engine_can_use_it(loss: Callable[..., Tensor]) -> None:
    check_loss(loss)
    check_loss(loss, real=torch.randn(4), fake=torch.randn(4))


@pytest.mark.parametrize("shape", [(), (6, 1), (2, 1, 3, 1)])
def test_each_fake_is_compared_with_its_own_real(shape: tuple[int, ...]) -> None:
    pairs = list(zip(REAL, FAKE, strict=True))
    real, fake = logits(REAL, *shape), logits(FAKE, *shape)
    assert relativistic_d(real, fake).item() == pytest.approx(fmean(surprise(r - f) for r, f in pairs), rel=1e-13)
    assert relativistic_g(real, fake).item() == pytest.approx(fmean(surprise(f - r) for r, f in pairs), rel=1e-13)


@pytest.mark.parametrize(("loss", "better"), [(relativistic_g, 1), (relativistic_d, -1)])
def test_the_players_pull_a_fake_in_opposite_directions(loss: Callable[..., Tensor], better: int) -> None:
    real, fake = logits(REAL), logits(FAKE)
    assert loss(real, fake + better) < loss(real, fake) < loss(real, fake - better)


@pytest.mark.parametrize("loss", LOSSES)
def test_only_the_difference_counts(loss: Callable[..., Tensor]) -> None:
    real, fake = logits(REAL), logits(FAKE)
    torch.testing.assert_close(loss(real + 7, fake + 7), loss(real, fake))
    assert loss(real, real).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_hopeless_pair_keeps_its_gradient(loss: Callable[..., Tensor]) -> None:
    behind = torch.tensor([-1000.0], requires_grad=True)
    ahead = torch.tensor([0.0])
    value = loss(ahead, behind) if loss is relativistic_g else loss(behind, ahead)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == 1000
    assert behind.grad is not None
    assert behind.grad.item() == -1


@pytest.mark.parametrize("loss", LOSSES)
def test_logits_of_two_shapes_are_no_pairs(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match=r"compared in pairs, and these differ in shape: \[.*\] and \["):
        loss(torch.zeros(4, 1), torch.zeros(4))


@pytest.mark.parametrize("loss", LOSSES)
def test_both_logits_are_watched(loss: Callable[..., Tensor]) -> None:
    assert loss.scores == ("real", "fake")  # type: ignore[attr-defined]
