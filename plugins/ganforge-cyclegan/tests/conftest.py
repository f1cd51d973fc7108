"""Trajectories and answers that the public CycleGAN reference gave, recorded outside the repository."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[3] / "../shared/golden"


def recorded(name: str) -> Path:
    path = GOLDEN / name
    if not path.exists():
        pytest.skip(f"the reference's recording {name} is not on this machine")
    return path


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class Recording:
    """One trajectory: tensors by name, and the weights of a network, all widened to float64."""

    def __init__(self, path: Path) -> None:
        self._tensors = load_file(path)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name].double()

    def weights(self, network: str) -> dict[str, Tensor]:
        """What the network started from, by the names of the reference's `state_dict`."""
        prefix = f"init.{network}."
        return {name.removeprefix(prefix): self[name] for name in self._tensors if name.startswith(prefix)}


@pytest.fixture(scope="session")
def resnet_recording() -> Recording:
    return Recording(recorded("cyclegan_resnet6_lsgan.safetensors"))


@pytest.fixture(scope="session")
def unet_recording() -> Recording:
    return Recording(recorded("cyclegan_unet128_vanilla.safetensors"))


@pytest.fixture(scope="session")
def pool_traces() -> list[dict[str, Any]]:
    return json.loads(recorded("pool_traces.json").read_text())
