"""Metrics of pictures beside the truth: `[N, C, H, W]` in `[-1, 1]`."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ganforge import Metric, traits


@traits(better="lower")
def absolute_error(input: Tensor, target: Tensor) -> Tensor:
    """The mean absolute error; of images in `[-1, 1]`, so from 0 to 2."""
    return F.l1_loss(input, target)


@traits(better="higher")
def psnr(input: Tensor, target: Tensor) -> Tensor:
    """The peak signal-to-noise ratio in dB, the mean over pictures: `10 log10(4 / mean((input - target)^2))`.

    Equal pictures count as 100 dB.
    """
    error = (input - target).double().square().flatten(1).mean(1)
    return (10 * torch.log10(4 / error.clamp_min(4e-10))).mean()


@traits(better="higher")
def ssim(input: Tensor, target: Tensor) -> Tensor:
    """The structural similarity, from -1 to 1 for equal pictures: the mean over pictures, channels and places.

    Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861: windows of 11 pixels weighted by a Gaussian of standard
    deviation 1.5, K1 = 0.01 and K2 = 0.03, where the window lies within the picture.

    Raises:
        ValueError: pictures are smaller than a window.
    """
    if min(input.shape[-2:]) < _WINDOW_PX:
        raise ValueError(f"ssim needs pictures of {_WINDOW_PX} pixels at least, not {list(input.shape[-2:])}")
    x, y = (image.double().flatten(0, 1)[:, None] for image in (input, target))
    mean_x, mean_y, xx, yy, xy = _blurred(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    variance_x, variance_y, covariance = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # pictures span 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean()


_WINDOW_PX = 11


def _blurred(x_N1HW: Tensor) -> Tensor:
    offsets = torch.arange(_WINDOW_PX, dtype=x_N1HW.dtype, device=x_N1HW.device) - _WINDOW_PX // 2
    weights = torch.exp(-(offsets**2) / (2 * 1.5**2))
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(x_N1HW, weights[None, None, :, None]), weights[None, None, None, :])


class TranslationError(Metric):
    """How much nearer to the truth a translation is than leaving the image as it was.

    Gives `mean_absolute_error`, of the translation; `untouched`, that of the image itself; and
    `times_lower`, their quotient. Images are `[N, C, H, W]` in `[-1, 1]`.
    """

    better: ClassVar = {"mean_absolute_error": "lower", "times_lower": "higher"}

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
