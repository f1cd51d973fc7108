"""Metrics that need nothing but tensors."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ganforge import Metric


def absolute_error(input: Tensor, target: Tensor) -> Tensor:
    """The mean absolute error; of images in `[-1, 1]`, so from 0 to 2."""
    return F.l1_loss(input, target)


class TranslationError(Metric):
    """How much nearer to the truth a translation is than leaving the image as it was.

    Gives `mean_absolute_error`, of the translation; `untouched`, that of the image itself; and
    `times_lower`, their quotient. Images are `[N, C, H, W]` in `[-1, 1]`.
    """

    def __init__(self) -> None:
        self.error = self.untouched = 0.0
        self.count = 0

    def update(self, translated: Tensor, original: Tensor, truth: Tensor) -> None:
        """Count a batch in."""
        self.error += float(F.l1_loss(translated, truth)) * len(truth)
        self.untouched += float(F.l1_loss(original, truth)) * len(truth)
        self.count += len(truth)

    def compute(self) -> dict[str, float]:
        """The figures over all batches."""
        error, untouched = self.error / self.count, self.untouched / self.count
        return {"mean_absolute_error": error, "untouched": untouched, "times_lower": untouched / max(error, 1e-12)}
