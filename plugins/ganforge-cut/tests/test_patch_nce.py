import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge.testing import check_loss
from ganforge_cut.patch_nce import batch_patch_nce, patch_nce

LOSSES = [patch_nce, batch_patch_nce]


def units(*shape: int) -> list[Tensor]:
    """Two lists' worth of unit vectors `[N, P, C]`, of two feature maps."""
    return [F.normalize(torch.randn(shape, dtype=torch.float64), dim=-1) for _ in range(2)]


@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_a_loss(loss: Callable[..., Tensor]) -> None:
    check_loss(loss, query=units(4, 6, 5), key=units(4, 6, 5))


@pytest.mark.parametrize("loss", LOSSES)
def test_formula(loss: Callable[..., Tensor]) -> None:
    """Equation 2, one patch after another."""
    query, key = units(2, 5, 3), units(2, 5, 3)
    each = []
    for q, k in zip(query, key, strict=True):
        for n in range(2):
            for p in range(5):
                positive = math.exp(float(q[n, p] @ k[n, p]) / 0.1)
                pictures = range(2) if loss is batch_patch_nce else [n]
                others = [(m, j) for m in pictures for j in range(5) if (m, j) != (n, p)]
                negatives = sum(math.exp(float(q[n, p] @ k[m, j]) / 0.1) for m, j in others)
                each.append(-math.log(positive / (positive + negatives)))
    assert float(loss(query, key, temperature=0.1)) == pytest.approx(sum(each) / len(each), abs=1e-12)


def test_patches_that_are_alike_cost_the_logarithm_of_their_number() -> None:
    alike = [torch.ones(3, 8, 4, dtype=torch.float64) / 2]
    assert float(patch_nce(alike, alike)) == pytest.approx(math.log(8))
    assert float(batch_patch_nce(alike, alike)) == pytest.approx(math.log(24))


def test_patches_that_are_told_apart_cost_nothing() -> None:
    apart = [torch.eye(6, dtype=torch.float64)[None]]
    assert float(patch_nce(apart, apart)) == pytest.approx(math.log1p(5 * math.exp(-1 / 0.07)))


@pytest.mark.parametrize("loss", LOSSES)
def test_keys_get_no_gradient(loss: Callable[..., Tensor]) -> None:
    query, key = ([u.requires_grad_() for u in units(2, 5, 3)] for _ in range(2))
    loss(query, key).backward()
    assert all(q.grad is not None for q in query)
    assert all(k.grad is None for k in key)


def test_feature_maps_count_alike_whatever_their_size() -> None:
    q, k = units(1, 8, 3)
    few, many = (float(patch_nce([q[:, :n]], [k[:, :n]])) for n in (3, 8))
    assert float(patch_nce([q[:, :3], q], [k[:, :3], k])) == pytest.approx((few + many) / 2)
