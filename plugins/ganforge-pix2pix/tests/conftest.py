"""The benchmark's pictures lie outside the repository: their licence allows research, not passing them on."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tensors as small as these keep threads waiting for each other

FACADES = Path(__file__).resolve().parents[3] / "../shared/datasets/facades"


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def facades() -> Path:
    """Pairs of a photo, left, and its labels, in the folders train and test."""
    if not FACADES.is_dir():
        pytest.skip("the facades are not on this machine")
    return FACADES
