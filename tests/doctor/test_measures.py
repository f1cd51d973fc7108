"""Each measure against a plain computation, and what it tells of pictures that are known."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from ganforge.builtin.callbacks.doctor import measures
from ganforge.builtin.callbacks.doctor.judges import Judge, Judges, order

LUMA = np.array([0.2989, 0.587, 0.114])


def noise(count: int = 4, size: int = 64, seed: int = 0, smooth: int = 8) -> Tensor:
    """Coloured spots: `[N, 3, size, size]`."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, size // smooth, size // smooth, generator=random) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(-1, 1)


def test_correlation_of_brightness() -> None:
    one, other = noise(), noise(seed=1)
    luma = [np.einsum("nchw,c->nhw", each.numpy(), LUMA).reshape(len(each), -1) for each in (one, other)]
    plain = [np.corrcoef(a, b)[0, 1] for a, b in zip(*luma, strict=True)]
    assert measures.correlation(one, other).tolist() == pytest.approx(plain, abs=1e-5)
    assert measures.correlation(one, -one / 2 + 0.3).tolist() == pytest.approx([-1] * 4, abs=1e-5)
    grey = one.mean(1, keepdim=True)
    assert measures.correlation(grey, grey).tolist() == pytest.approx([1] * 4, abs=1e-5)


def test_spread_is_the_mean_distance_of_shrunk_pictures() -> None:
    pictures = noise()
    shrunk = pictures.numpy().reshape(4, 3, 16, 4, 16, 4).mean((3, 5)).reshape(4, -1)
    plain = np.mean([np.linalg.norm(a - b) for a, b in combinations(shrunk, 2)])
    assert measures.spread(pictures) == pytest.approx(plain, rel=1e-5)


def test_distance_is_the_larger_energy_distance_in_units_of_the_sets() -> None:
    one, other = noise(count=5), noise(count=6, seed=1) * 0.3 + 0.4

    def plain(a: np.ndarray, b: np.ndarray) -> float:
        between = np.mean([np.linalg.norm(x - y) for x in a for y in b])
        within = [np.mean([np.linalg.norm(x - y) for x, y in combinations(each, 2)]) for each in (a, b)]
        return float(2 * between / sum(within) - 1)

    def small(pictures: Tensor) -> np.ndarray:
        return pictures.numpy().reshape(len(pictures), 3, 16, 4, 16, 4).mean((3, 5)).reshape(len(pictures), -1)

    def octaves(pictures: Tensor) -> np.ndarray:
        rows = []
        for picture in pictures.numpy():
            row = []
            while picture.shape[1] >= 4:
                halves = picture.reshape(3, picture.shape[1] // 2, 2, picture.shape[2] // 2, 2).mean((2, 4))
                detail = picture - halves.repeat(2, 1).repeat(2, 2)
                row.append(math.log((detail**2).mean() + (2 / 255) ** 2))
                picture = halves
            rows.append(row)
        return np.array(rows)

    expected = max(plain(view(one), view(other)) for view in (small, octaves))
    assert measures.distance(one, other) == pytest.approx(expected, rel=1e-3)


def test_sets_of_one_kind_are_near_and_sets_of_two_are_far() -> None:
    one, other = noise(), noise(seed=1)
    assert measures.distance(one, other) < 0.3
    blurred = torch.nn.functional.avg_pool2d(other, 9, 1, 4)
    grainy = other + 0.1 * torch.randn(other.shape, generator=torch.Generator().manual_seed(2))
    for changed in (blurred, grainy, other * 0 + 0.2, -other.abs()):
        assert measures.distance(one, changed) > 0.6


@pytest.mark.parametrize("size", [32, 50, 64, 300])
@pytest.mark.parametrize(
    ("rows", "columns"), [((1, -1), (1, -1)), ((1, 1), (1, -1)), ((1, 0, 0, 0), (1, 1)), ((1, 0, 0, 0), (1, 0, 0, 0))]
)
def test_what_repeats_every_two_or_four_pixels_is_a_peak(size: int, rows: tuple[int], columns: tuple[int]) -> None:
    pictures = noise(size=size, smooth=size // 5)
    down, across = (torch.tensor(each).float().repeat(size)[:size] for each in (rows, columns))
    pattern = down[:, None] * across
    height, share = measures.regularity(pictures + 0.4 * pattern)
    assert height > 4
    assert share > 0.005
    usual, nothing = measures.regularity(pictures)
    assert usual < 4 or nothing < 0.005


def test_the_order_of_verdicts_counts_pairs() -> None:
    real, fake = torch.tensor([0.5, 1.0, 2.0, 1.0]), torch.tensor([0.0, 1.0, 3.0])
    pairs = [1.0 if r > f else 0.5 if r == f else 0.0 for r in real.tolist() for f in fake.tolist()]
    assert order(real, fake) == pytest.approx(sum(pairs) / len(pairs))


def test_fresh_fakes_are_looked_at_rather_than_replayed_ones() -> None:
    judges = Judges(readings=2)
    reading = {
        "scores/D/real": 1.0,
        "scores/D/pooled": -2.0,
        "accuracy/D/real": 0.9,
        "accuracy/D/pooled": 1.0,
        "scores/alone/fake": 0.0,
    }
    judges.read(reading)
    judges.read(reading | {"scores/D/fake": 0.5, "accuracy/D/fake": 0.6})
    assert list(judges) == ["D"]
    judge = judges["D"]
    assert (list(judge.fake), judge.gap) == ([1.0, 0.6], 0.5)
    assert judge.advantage() == pytest.approx(0.2)
    judges.examine({"logits/D/real": torch.tensor([2.0, 3.0]), "logits/D/pooled": torch.tensor([2.0, 3.0])})
    assert judge.order == 0.5


def test_a_judge_is_believed_after_enough_readings() -> None:
    judge = Judge(readings=2)
    judge.real.append(1.0)
    judge.fake.append(0.99)
    assert not judge.always_right(0.98)
    judge.real.append(0.985)
    judge.fake.append(1.0)
    assert judge.always_right(0.98)
    judge.real.append(0.97)
    judge.fake.append(1.0)
    assert not judge.always_right(0.98)
    assert judge.recognises(0.9)


def test_without_a_boundary_the_order_tells_who_wins() -> None:
    judge = Judge(readings=2)
    assert not judge.always_right(0.98)
    assert not judge.never_right()
    assert judge.advantage() == 0
    judge.order, judge.spread, judge.gap = 0.999, 2.0, 1.0
    assert judge.always_right(0.98)
    assert judge.advantage() == 0.5
    judge.order = 0.4
    assert judge.never_right()
