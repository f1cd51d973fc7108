"""Runs that have learnt a little."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganforge.testing import run_recipe

TINY = Path(__file__).resolve().parents[2] / "recipes" / "tiny"


def train(recipe: str, folder: Path) -> Path:
    """A run of a tiny recipe, on random pictures."""
    run_recipe(TINY / f"{recipe}.yaml", steps=2, fake_data=True, folder=folder)
    return folder


@pytest.fixture(scope="session")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run between two domains with averaged weights (EMA)."""
    return train("cyclegan_shapes", tmp_path_factory.mktemp("unpaired"))


@pytest.fixture(scope="session")
def halving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network takes only sides that 32 divides, and whose data is not here."""
    return train("pix2pix_facades", tmp_path_factory.mktemp("halving"))


@pytest.fixture(scope="session")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose translations take two networks and a style drawn at random."""
    return train("munit_shapes", tmp_path_factory.mktemp("styled"))


@pytest.fixture(scope="session")
def from_noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that makes pictures from noise."""
    return train("r3gan_shapes", tmp_path_factory.mktemp("noise"))
