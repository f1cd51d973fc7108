"""Samples of a size that networks do not take: which sizes fit is found, and said first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tiny import TINY


@pytest.mark.parametrize(
    ("recipe", "crop", "now", "fitting", "multiple"),
    [
        ("cyclegan_horse2zebra", "30", "30 x 30", "32 x 32", 4),
        ("cyclegan_horse2zebra", "[30,50]", "30 x 50", "32 x 52", 4),
        ("pix2pix_facades", "40", "40 x 40", "64 x 64", 32),
    ],
)
def test_the_sizes_that_fit_are_told(
    recipe: str, crop: str, now: str, fitting: str, multiple: int, ganforge: Callable
) -> None:
    done = ganforge("check", TINY / f"{recipe}.yaml", f"data.crop_px={crop}", "data.load_px=null")
    assert done.code == 2
    first, *_ = done.err.split("\n\n")
    told = f"samples of {now} pixels do not fit, and those of {fitting} do, as others whose sides {multiple} divides"
    assert told in first.replace("\n", " ")
    assert "say crop_px: " in first
    size = fitting.replace(" x ", ",")
    assert ganforge("check", TINY / f"{recipe}.yaml", f"data.crop_px=[{size}]", "data.load_px=null").code == 0


def test_other_faults_are_no_matter_of_size(ganforge: Callable) -> None:
    done = ganforge("check", TINY / "cyclegan_horse2zebra.yaml", "networks.G_ab.in_channels=4")
    assert done.code == 2
    assert "do not fit" not in done.err
