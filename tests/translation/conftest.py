"""A run that has learnt a little, and pictures to translate."""

from __future__ import annotations

from pathlib import Path

import pytest
from translation.pictures import noise

from ganforge.images import write_image
from ganforge.testing import run_recipe

TINY = Path(__file__).resolve().parents[2] / "recipes" / "tiny"


def train(recipe: str, folder: Path, *overrides: str, steps: int = 2) -> Path:
    """A run of a tiny recipe; its name is that of the folder above the run's."""
    run = folder / folder.name.rstrip("0123456789") / "0001"
    run.mkdir(parents=True)
    run_recipe(TINY / f"{recipe}.yaml", *overrides, steps=steps, fake_data=True, folder=run)
    return run


@pytest.fixture(scope="session")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run between two domains, both ways."""
    return train("cyclegan_shapes", tmp_path_factory.mktemp("unpaired"), steps=20)


@pytest.fixture(scope="session")
def styled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose translations have styles drawn at random."""
    return train("munit_shapes", tmp_path_factory.mktemp("styled"))


@pytest.fixture(scope="session")
def halving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network takes only sides that 32 divides."""
    return train("pix2pix_facades", tmp_path_factory.mktemp("halving"))


@pytest.fixture
def album(in_tmp: Path) -> Path:
    """A folder of pictures, one of them broken, some below another folder."""
    (in_tmp / "in" / "deep").mkdir(parents=True)
    for name, size in {"2.png": (32, 40), "10.jpg": (32, 40), "deep/x.png": (24, 32)}.items():
        write_image(in_tmp / "in" / name, noise(*size))
    (in_tmp / "in" / "broken.jpg").write_bytes(b"no picture")
    return in_tmp / "in"
