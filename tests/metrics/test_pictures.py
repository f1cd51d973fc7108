"""Metrics of pictures beside the truth, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ganforge.builtin.metrics import psnr, ssim


def pair(side: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 3, side, side, generator=rng) * 2 - 1
    return (truth + 0.2 * torch.randn(truth.shape, generator=rng)).clamp(-1, 1), truth


def test_psnr_is_the_mean_over_pictures() -> None:
    image, truth = (each.double().numpy() for each in pair())
    expected = [10 * math.log10(4 / ((image[n] - truth[n]) ** 2).mean()) for n in range(2)]
    assert float(psnr(*pair())) == pytest.approx(np.mean(expected), rel=1e-9)
    _, same = pair()
    assert float(psnr(same, same)) == pytest.approx(100)


def plain_ssim(image: np.ndarray, truth: np.ndarray) -> float:
    offsets = np.arange(11) - 5
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / np.outer(line, line).sum()
    found = []
    for n in range(len(image)):
        for c in range(image.shape[1]):
            for top in range(image.shape[2] - 10):
                for left in range(image.shape[3] - 10):
                    x, y = (each[n, c, top : top + 11, left : left + 11] for each in (image, truth))
                    mx, my = (window * x).sum(), (window * y).sum()
                    vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
                    vxy = (window * (x - mx) * (y - my)).sum()
                    c1, c2 = 0.02**2, 0.06**2
                    found.append((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(found))


def test_ssim_is_that_of_a_plain_loop() -> None:
    image, truth = pair()
    assert float(ssim(image, truth)) == pytest.approx(
        plain_ssim(image.double().numpy(), truth.double().numpy()), rel=1e-9
    )
    assert float(ssim(truth, truth)) == pytest.approx(1)


def test_ssim_refuses_what_is_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="11 pixels at least"):
        ssim(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
