"""How far the features of generated pictures are from those of real ones.

Features are `[N, F]`, of any network: `inception(fake_b)` in a recipe, or an op of a plugin. They are gathered on the
CPU and compared in float64.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganforge import Metric

UNBIASED_FROM = 10_000
"""Pictures from which on the bias of FID is small beside the distances that people publish."""


class FrechetDistance(Metric):
    """The Fréchet distance between Gaussians fitted to the features of real and of fake pictures; FID, with Inception.

    `|m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^(1/2))`, with the unbiased covariances. Heusel et al. 2017, eq. 6,
    https://arxiv.org/abs/1706.08500. Of few pictures it is much too high: compare only equal numbers of the same ones.
    """

    better: ClassVar = "lower"
    compares_sets: ClassVar = True

    def __init__(self) -> None:
        self.real, self.fake = _Moments(), _Moments()

    def update(self, real: Tensor, fake: Tensor) -> None:
        """Count a batch in: features `[N, F]`."""
        self.real.add(real)
        self.fake.add(fake)

    def compute(self) -> float:
        """The distance over all batches.

        Raises:
            ValueError: there are fewer than two pictures.
        """
        (mean_r, covariance_r), (mean_f, covariance_f) = self.real.fit(), self.fake.fit()
        root_r = _square_root(covariance_r)
        # The eigenvalues of C_r C_f are those of the symmetric C_r^(1/2) C_f C_r^(1/2).
        overlap = torch.linalg.eigvalsh(root_r @ covariance_f @ root_r).clamp_min(0).sqrt().sum()
        distance = (mean_r - mean_f).square().sum() + covariance_r.trace() + covariance_f.trace() - 2 * overlap
        return max(0.0, float(distance))

    def remarks(self) -> Sequence[str]:
        """What to know of the figure."""
        count, size = min(self.real.count, self.fake.count), self.real.size
        if count >= UNBIASED_FROM:
            return ()
        few = f"of {count:,} pictures it is biased upwards: compare it only for the same pictures, or look at kid"
        flat = f"with no more pictures than features ({size:,}), the covariances are singular"
        return (few, flat) if count <= size else (few,)


class _Moments:
    """Mean and covariance of features that come batch by batch, without keeping them."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0

    def add(self, features_NF: Tensor) -> None:
        x_NF = _flat(features_NF)
        if self.count == 0:
            self.size = x_NF.shape[1]
            # Sums of squares of what is near the origin lose no digits.
            self.origin = x_NF.mean(0)
            self.sum = torch.zeros_like(self.origin)
            self.products = torch.zeros(self.size, self.size, dtype=torch.float64)
        x_NF = x_NF - self.origin
        self.count += len(x_NF)
        self.sum += x_NF.sum(0)
        self.products += x_NF.T @ x_NF

    def fit(self) -> tuple[Tensor, Tensor]:
        if self.count < 2:
            raise ValueError(f"a covariance needs two pictures at least, not {self.count}")
        mean = self.sum / self.count
        covariance = (self.products - self.count * torch.outer(mean, mean)) / (self.count - 1)
        return mean + self.origin, covariance


def _square_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


class _Gathered(Metric):
    """Keeps all features."""

    compares_sets: ClassVar = True

    def __init__(self) -> None:
        self.real: list[Tensor] = []
        self.fake: list[Tensor] = []

    def update(self, real: Tensor, fake: Tensor) -> None:
        """Count a batch in: features `[N, F]`."""
        self.real.append(_flat(real).float())
        self.fake.append(_flat(fake).float())


class KernelDistance(_Gathered):
    """The squared maximum mean discrepancy of features, with a cubic kernel; KID, with Inception. It has no bias.

    Gives `mean`, over random subsets of both, and `error`, its standard error by the jackknife (Shao and Wu 1989), up
    to twice too large where there is no difference; papers mostly print the deviation between subsets instead. The
    kernel is `(x y / F + 1)^3`. Bińkowski et al. 2018, section 4, https://arxiv.org/abs/1801.01401.

    Args:
        subsets: how many.
        subset_size: pictures of each; at most half of those that there are, or all subsets would be the same.
        seed: of the subsets.
    """

    better: ClassVar = {"mean": "lower"}

    def __init__(
        self,
        subsets: Annotated[int, Field(ge=1)] = 100,
        subset_size: Annotated[int, Field(ge=2)] = 1000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed

    def compute(self) -> dict[str, float]:
        """The figures over all batches.

        Raises:
            ValueError: there are fewer than four pictures.
        """
        real, fake = torch.cat(self.real), torch.cat(self.fake)
        size = min(self.subset_size, len(real) // 2, len(fake) // 2)
        if size < 2:
            raise ValueError(f"kid needs four pictures at least, not {min(len(real), len(fake))}")
        rng = random.Random(self.seed)
        found = torch.tensor(
            [
                _discrepancy(real[rng.sample(range(len(real)), size)], fake[rng.sample(range(len(fake)), size)])
                for _ in range(self.subsets)
            ],
            dtype=torch.float64,
        )
        # Subsets overlap, so their deviation alone is not that of their mean.
        left_out = min(len(real), len(fake)) - size
        return {"mean": float(found.mean()), "error": float(found.std(correction=0)) * math.sqrt(size / left_out)}


def _discrepancy(x_NF: Tensor, y_NF: Tensor) -> float:
    """The unbiased estimate: no sample is compared with itself."""
    x_NF, y_NF = x_NF.double(), y_NF.double()
    count, size = x_NF.shape
    xx, yy, xy = ((a @ b.T / size + 1) ** 3 for a, b in ((x_NF, x_NF), (y_NF, y_NF), (x_NF, y_NF)))
    within = (xx.sum() - xx.trace() + yy.sum() - yy.trace()) / (count * (count - 1))
    return float(within - 2 * xy.mean())


class PrecisionRecall(_Gathered):
    """How many generated pictures look real, `precision`, and how much of the real variety is generated, `recall`.

    A picture is in the manifold of others if it is as near to one of them as that one's k-th neighbour. Kynkäänniemi et
    al. 2019, eq. 1 and 2, https://arxiv.org/abs/1904.06991.

    Args:
        neighbours: k.
    """

    better: ClassVar = {"precision": "higher", "recall": "higher"}

    def __init__(self, neighbours: Annotated[int, Field(ge=1)] = 3) -> None:
        super().__init__()
        self.neighbours = neighbours

    def compute(self) -> dict[str, float]:
        """The figures over all batches.

        Raises:
            ValueError: there are not more pictures than `neighbours`.
        """
        real, fake = torch.cat(self.real), torch.cat(self.fake)
        if min(len(real), len(fake)) <= self.neighbours:
            raise ValueError(f"{self.neighbours} neighbours need more pictures than {min(len(real), len(fake))}")
        return {"precision": self._covered(fake, real), "recall": self._covered(real, fake)}

    def _covered(self, points_NF: Tensor, manifold_MF: Tensor) -> float:
        """The share of points that lie in a manifold."""
        radii = torch.cat(
            [_distances(rows, manifold_MF).kthvalue(self.neighbours + 1, 1).values for rows in manifold_MF.split(_ROWS)]
        )
        inside = [(_distances(rows, manifold_MF) <= radii).any(1) for rows in points_NF.split(_ROWS)]
        return float(torch.cat(inside).double().mean())


_ROWS = 1000


def _distances(x_NF: Tensor, y_MF: Tensor) -> Tensor:
    """Distances that are exact also where points coincide, as a picture and itself do."""
    return torch.cdist(x_NF.double(), y_MF.double(), compute_mode="donot_use_mm_for_euclid_dist")


def _flat(features: Tensor) -> Tensor:
    """Features as `[N, F]` in float64 on the CPU."""
    return features.detach().flatten(1).double().cpu()
