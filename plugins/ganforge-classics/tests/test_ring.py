"""The data whose truth is known, and the metric that compares with it."""

import math
import random

import pytest
import torch
from torch import Tensor

from ganforge.testing import check_dataset, check_op
from ganforge_classics.coverage import RingCoverage, sliced_wasserstein
from ganforge_classics.ring import MODES, RADIUS, STD, Ring, draw_points, modes
from ganforge_classics.spots import Spots, centroid, draw_spots, spot_error


def true_points(count: int = 2000, seed: int = 1) -> Tensor:
    return draw_points(count, torch.Generator().manual_seed(seed))


def figures(points: Tensor, labels: Tensor | None = None, batch: int = 100) -> dict[str, float]:
    metric = RingCoverage()
    for start in range(0, len(points), batch):
        metric.update(points[start : start + batch], None if labels is None else labels[start : start + batch])
    return metric.compute()


def test_the_datasets_keep_what_the_engine_relies_on() -> None:
    check_dataset(Ring, count=4, validation=3)
    check_dataset(Spots, size_px=16, count=4, validation=3)


def test_points_lie_around_the_mode_of_their_label() -> None:
    samples = Ring(count=2000).train()
    drawn = [samples.sample(index, random.Random(index)) for index in range(2000)]
    points = torch.stack([sample["real"] for sample in drawn]).double()
    labels = torch.stack([sample["label"] for sample in drawn])
    assert torch.bincount(labels, minlength=MODES).tolist() == pytest.approx([250] * MODES, rel=0.25)
    offsets = points - modes()[labels]
    assert offsets.mean(0).tolist() == pytest.approx([0, 0], abs=0.003)
    assert offsets.std(0).tolist() == pytest.approx([STD, STD], rel=0.05)
    assert figures(points, labels)["at_label"] > 0.98


def test_a_spot_is_at_its_point() -> None:
    places = true_points(200).float()
    for size_px in (16, 32):
        found = centroid(draw_spots(places, size_px))
        assert (found - places).abs().max() < 0.2 * STD
    picture = draw_spots(torch.tensor([[0.6, -0.2]]), 32)[0, 0]
    row, column = divmod(int(picture.argmax()), 32)
    assert ((column + 0.5) / 16 - 1, (row + 0.5) / 16 - 1) == pytest.approx((0.6, -0.2), abs=1 / 32)


def test_a_picture_and_a_point_of_one_rng_agree() -> None:
    point = Ring().train().sample(0, random.Random(3))
    picture = Spots().train().sample(0, random.Random(3))
    assert point["label"] == picture["label"]
    torch.testing.assert_close(centroid(picture["real"][None])[0], point["real"], rtol=0, atol=5e-3)


def test_centroid_is_no_more_pulled_by_a_faint_ground_than_said() -> None:
    check_op(centroid, (4, 1, 8, 8))
    pictures = draw_spots(modes(), 32)
    faint = pictures + 0.02 * torch.rand(pictures.shape, dtype=torch.float64)
    assert (centroid(faint) - modes()).norm(dim=1).max() < STD / 3
    assert torch.equal(centroid(-torch.ones(1, 1, 8, 8)), torch.zeros(1, 2))  # black: the middle, not NaN


def test_spot_error_is_0_for_spots_and_1_for_black() -> None:
    pictures = draw_spots(true_points(8), 32)
    assert spot_error(pictures).item() < 5e-3
    assert spot_error(-torch.ones(4, 1, 32, 32)).item() == pytest.approx(1)
    two = torch.maximum(pictures, draw_spots(-true_points(8), 32))
    assert spot_error(two).item() > 0.5


def test_true_points_reach_all_modes_and_the_floor() -> None:
    found = figures(true_points())
    assert found["modes"] == 8
    assert found["on_a_mode"] == pytest.approx(1 - math.exp(-4.5), abs=0.008)
    assert found["distance"] == pytest.approx(found["floor"], rel=0.5)


def test_a_lost_mode_is_noticed() -> None:
    points = true_points()
    kept = points[(points - modes()[3]).norm(dim=1) > 5 * STD]
    found = figures(kept)
    assert found["modes"] == 7
    assert found["distance"] > 3 * found["floor"]


def test_points_beside_the_modes_are_noticed() -> None:
    found = figures(true_points() * 1.3)  # 5 standard deviations further out
    assert found["modes"] == 0
    assert found["on_a_mode"] < 0.05
    # Moving every point outwards by d moves its shadow by d |cos|, of which the mean is 2 / pi.
    assert found["distance"] == pytest.approx(0.3 * RADIUS * 2 / math.pi, rel=0.05)


def test_labels_tell_the_share_at_the_wanted_mode() -> None:
    labels = torch.arange(MODES).repeat(100)
    points = modes()[labels]
    assert figures(points, labels)["at_label"] == 1
    half = torch.where(torch.arange(len(labels)) < 400, labels, (labels + 1) % MODES)
    assert figures(points, half)["at_label"] == 0.5
    assert "at_label" not in figures(points)


def test_the_distance_of_shifted_points() -> None:
    points = true_points(100)
    assert sliced_wasserstein(points, points) == 0
    shifted = sliced_wasserstein(points, points + torch.tensor([0.3, 0.4]))
    assert shifted == pytest.approx(0.5 * 2 / math.pi, rel=1e-3)
