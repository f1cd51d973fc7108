"""Metrics: of pictures beside the truth, and of the features of many pictures beside those of many others."""

from ganforge.builtin.metrics.distances import FrechetDistance, KernelDistance, PrecisionRecall
from ganforge.builtin.metrics.inception import Inception
from ganforge.builtin.metrics.lpips import Lpips
from ganforge.builtin.metrics.pictures import TranslationError, absolute_error, psnr, ssim

__all__ = [
    "FrechetDistance",
    "Inception",
    "KernelDistance",
    "Lpips",
    "PrecisionRecall",
    "TranslationError",
    "absolute_error",
    "psnr",
    "ssim",
]
