"""FID, KID, precision and recall against plain numpy, on the features of a small seeded network."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from metrics.features import network
from torch import Tensor

from ganforge.builtin.metrics import FrechetDistance, KernelDistance, PrecisionRecall


def pictures(count: int, seed: int, shift: float = 0.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    smooth = torch.rand(count, 3, 4, 4, generator=rng)
    return torch.nn.functional.interpolate(smooth, 24, mode="bilinear") * 2 - 1 + shift


@pytest.fixture(scope="module")
def features() -> tuple[Tensor, Tensor]:
    """Of 60 real pictures and 45 others, which are a little brighter."""
    look = network()
    return look(pictures(60, 0)), look(pictures(45, 1, 0.2))


def measured(metric: FrechetDistance | KernelDistance | PrecisionRecall, real: Tensor, fake: Tensor, batch: int = 8):
    for start in range(0, max(len(real), len(fake)), batch):
        one, other = real[start : start + batch], fake[start : start + batch]
        metric.update(one if len(one) else real[:0], other if len(other) else fake[:0])
    return metric.compute()


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    mean = ((real.mean(0) - fake.mean(0)) ** 2).sum()
    a, b = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(a @ b).astype(complex)).sum().real
    return float(mean + np.trace(a) + np.trace(b) - 2 * root)


def test_fid_is_that_of_numpy(features: tuple[Tensor, Tensor]) -> None:
    real, fake = (each.double().numpy() for each in features)
    assert measured(FrechetDistance(), *features) == pytest.approx(frechet(real, fake), rel=1e-9)
    assert frechet(real, fake) > 1e-4


def test_fid_of_shifted_gaussians_is_known() -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((400, 3))
    points = (points - points.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    real, fake = torch.from_numpy(points), torch.from_numpy(2 * points + np.array([3.0, 0.0, 4.0]))
    assert measured(FrechetDistance(), real, fake) == pytest.approx(25 + 3 * (1 + 4 - 2 * 2), rel=1e-9)
    assert measured(FrechetDistance(), real, real) == pytest.approx(0, abs=1e-9)


def test_fid_keeps_its_digits_far_from_the_origin(features: tuple[Tensor, Tensor]) -> None:
    real, fake = (each.double() + 1e6 for each in features)
    near = measured(FrechetDistance(), *(each.double() for each in features))
    assert measured(FrechetDistance(), real, fake) == pytest.approx(near, rel=1e-4)


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return (float(x @ y) / len(x) + 1) ** 3


def discrepancy(x: np.ndarray, y: np.ndarray) -> float:
    n = len(x)
    within = sum(kernel(a[i], a[j]) for a in (x, y) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    between = sum(kernel(a, b) for a in x for b in y) / n**2
    return within - 2 * between


def test_kid_is_that_of_plain_loops(features: tuple[Tensor, Tensor]) -> None:
    real, fake = (each.double().numpy() for each in features)
    rng = random.Random(3)
    found = []
    for _ in range(5):
        a = rng.sample(range(len(real)), 10)
        b = rng.sample(range(len(fake)), 10)
        found.append(discrepancy(real[a], fake[b]))
    ours = measured(KernelDistance(subsets=5, subset_size=10, seed=3), *features)
    assert ours["mean"] == pytest.approx(np.mean(found), rel=1e-6)
    assert ours["error"] == pytest.approx(np.std(found) * (10 / 35) ** 0.5, rel=1e-6)


def test_kid_has_no_bias_with_few_pictures() -> None:
    look = network()
    of_ten = [
        measured(KernelDistance(), look(pictures(10, seed)), look(pictures(10, seed + 100))) for seed in range(40)
    ]
    means = torch.tensor([each["mean"] for each in of_ten])
    assert abs(float(means.mean())) < 3 * float(means.std()) / len(means) ** 0.5
    assert all(each["error"] > 0 for each in of_ten)


@pytest.mark.parametrize("subset_size", [12, 1000], ids=["small subsets", "halves"])
def test_the_error_of_kid_is_how_much_other_pictures_would_change_it(subset_size: int) -> None:
    rng = torch.Generator().manual_seed(0)
    found = []
    for _ in range(60):
        real, fake = torch.randn(2, 80, 6, generator=rng).unbind()
        found.append(measured(KernelDistance(subset_size=subset_size), real, fake + 0.7, batch=80))
    spread = float(np.std([each["mean"] for each in found]))
    assert np.mean([each["error"] for each in found]) == pytest.approx(spread, rel=0.25)


def covered(points: np.ndarray, manifold: np.ndarray, k: int) -> float:
    inside = 0
    for point in points:
        for centre in manifold:
            radius = sorted(np.linalg.norm(manifold - centre, axis=1))[k]
            if np.linalg.norm(point - centre) <= radius:
                inside += 1
                break
    return inside / len(points)


def test_precision_and_recall_are_those_of_plain_loops(features: tuple[Tensor, Tensor]) -> None:
    real, fake = (each.double().numpy() for each in features)
    ours = measured(PrecisionRecall(neighbours=3), *features)
    assert ours == {"precision": covered(fake, real, 3), "recall": covered(real, fake, 3)}
    assert 0 < ours["recall"] < 1


@pytest.mark.parametrize(
    ("metric", "count", "told"),
    [
        (FrechetDistance(), 1, "two pictures"),
        (KernelDistance(), 3, "four pictures"),
        (PrecisionRecall(), 3, "more pictures"),
    ],
    ids=["fid", "kid", "precision_recall"],
)
def test_too_few_pictures_are_refused(metric, count: int, told: str) -> None:
    some = torch.rand(count, 4)
    metric.update(some, some)
    with pytest.raises(ValueError, match=told):
        metric.compute()


def test_fid_says_that_few_pictures_bias_it() -> None:
    metric = FrechetDistance()
    metric.update(torch.rand(5, 6), torch.rand(5, 6))
    assert len(metric.remarks()) == 2
    assert "biased upwards" in metric.remarks()[0]
    assert "singular" in metric.remarks()[1]
    metric.update(torch.rand(10_000, 6), torch.rand(10_000, 6))
    assert metric.remarks() == ()
