"""How well generated points match the `ring` that they should."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganforge import Metric
from ganforge_classics.ring import MODES, STD, draw_points, modes

_NEAR = 3 * STD
_COVERED = 0.25  # of what a mode's share of the points would be
_DIRECTIONS = 64
_TRUE_SETS = 8


class RingCoverage(Metric):
    """How well generated points match the `ring`: modes reached, points near one, and a distance to the truth.

    Gives `modes`, of 8, near which at least a quarter of their fair share of points lie; `on_a_mode`, the share of
    points within 3 standard deviations of a mode (of true points 0.989); `at_label`, where labels are given, the share
    of points within as much of the mode of their label; `distance`, the sliced Wasserstein-1 distance to as many true
    points (Bonneel et al. 2015); and `floor`, what other true points reach at this number. The latter two are means
    over 8 sets of true points, the same each time.
    """

    def __init__(self) -> None:
        self.points: list[Tensor] = []
        self.labels: list[Tensor] = []

    def update(self, points: Tensor, labels: Tensor | None = None) -> None:
        """Count points `[N, 2]` in, and the modes `[N]` that they should be at."""
        self.points.append(points.double().cpu())
        if labels is not None:
            self.labels.append(labels.cpu())

    def compute(self) -> dict[str, float]:
        """The figures over all points."""
        points = torch.cat(self.points)
        near = torch.cdist(points, modes()) <= _NEAR
        fair = len(points) / MODES
        figures = {
            "modes": float((near.sum(0) >= _COVERED * fair).sum()),
            "on_a_mode": float(near.any(1).double().mean()),
        }
        if self.labels:
            figures["at_label"] = float(near.gather(1, torch.cat(self.labels)[:, None]).double().mean())
        return figures | _distances(points)


def _distances(points: Tensor) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    distance = floor = 0.0
    for _ in range(_TRUE_SETS):
        truth, other = (draw_points(len(points), generator) for _ in range(2))
        distance += sliced_wasserstein(points, truth) / _TRUE_SETS
        floor += sliced_wasserstein(other, truth) / _TRUE_SETS
    return {"distance": distance, "floor": floor}


def sliced_wasserstein(ours: Tensor, theirs: Tensor) -> float:
    """The Wasserstein-1 distance of two sets of points `[N, 2]`, seen along a line, averaged over all lines."""
    angles = math.pi * torch.arange(_DIRECTIONS, dtype=ours.dtype) / _DIRECTIONS
    directions = torch.stack((angles.cos(), angles.sin()))
    ours, theirs = ((points @ directions).sort(0).values for points in (ours, theirs))
    return float((ours - theirs).abs().mean())
