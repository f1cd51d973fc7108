"""Recordings of the public CycleGAN reference, in float64, from outside the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden"


def recorded(name: str) -> Path:
    path = GOLDEN / name
    if not path.exists():
        pytest.skip(f"the reference's recording {name} is not on this machine")
    return path


class Recording:
    """One trajectory; tensors by name, widened to float64."""

    def __init__(self, *files: str) -> None:
        self._tensors: dict[str, Tensor] = {}
        for file in files:
            self._tensors |= load_file(recorded(file))

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        return tensor.double() if tensor.is_floating_point() else tensor

    def weights(self, when: str, network: str) -> dict[str, Tensor]:
        """The weights of a network, `init` or `final`, by the names of the reference's `state_dict`."""
        prefix = f"{when}.{network}."
        return {name.removeprefix(prefix): self[name] for name in self._tensors if name.startswith(prefix)}


@pytest.fixture(scope="session")
def lsgan() -> Recording:
    return Recording("cyclegan_resnet6_lsgan.safetensors")


@pytest.fixture(scope="session")
def vanilla() -> Recording:
    return Recording("cyclegan_unet128_vanilla.safetensors", "cyclegan_unet128_vanilla_final.safetensors")


@pytest.fixture(scope="session")
def learning_rates() -> dict[str, Any]:
    return json.loads(recorded("lr_schedules.json").read_text())
