"""Metrics: a function, and a class that compares sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ganforge import Metric, traits


@traits(better="lower")
def brightness(image: Tensor, truth: Tensor) -> Tensor:
    """How far the brightness of images is from that of the truth."""
    return (image.mean() - truth.mean()).abs()


class Gloom(Metric):
    """How dark the darkest corners are."""

    better: ClassVar[Mapping[str, str]] = {"distance": "lower"}
    compares_sets = True

    def __init__(self) -> None:
        self.ours: list[Tensor] = []
        self.theirs: list[Tensor] = []

    def prepare(self) -> None:
        """Nothing is needed."""

    def update(self, images: Tensor, others: Tensor) -> None:
        """Count a batch in: images `[N, 3, H, W]`."""
        self.ours.append(images.flatten(1).amin(1).cpu())
        self.theirs.append(others.flatten(1).amin(1).cpu())

    def compute(self) -> Mapping[str, float]:
        ours, theirs = torch.cat(self.ours).mean(), torch.cat(self.theirs).mean()
        return {"distance": float((ours - theirs).abs()), "ours": float(ours)}

    def remarks(self) -> Sequence[str]:
        return ["of corners"]
