"""Weights of the public reference, imported by the command, give the outputs that the reference recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ganforge.api.context import Progress
from ganforge.inference.trained_run import open_trained
from ganforge.plugins.loading import load_plugins
from ganforge.recipe.expressions import Name
from ganforge.step.scene import Scene

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden"
OUTPUTS = {
    "fake_b": "fake_B",
    "rec_a": "rec_A",
    "fake_a": "fake_A",
    "rec_b": "rec_B",
    "same_b": "idt_A",
    "same_a": "idt_B",
}


@pytest.fixture(params=["cyclegan_resnet6_lsgan", "cyclegan_unet128_vanilla"])
def recording(request: pytest.FixtureRequest) -> dict[str, Tensor]:
    path = GOLDEN / f"{request.param}.safetensors"
    if not path.exists():
        pytest.skip(f"the reference's recording {path.name} is not on this machine")
    return load_file(path)


def test_recorded_outputs(recording: dict[str, Tensor], write: Callable, ganforge: Callable) -> None:
    paths = []
    for network in ("G_A", "G_B", "D_A", "D_B"):
        prefix = f"init.{network}."
        weights = {n.removeprefix(prefix): tensor for n, tensor in recording.items() if n.startswith(prefix)}
        paths.append(write(f"latest_net_{network}", weights))
    side = recording["input.A"].shape[-1]
    outcome = ganforge("import", "cyclegan", *paths, f"data.crop_px={side}")
    assert outcome.code == 0, outcome.err
    trained = open_trained(Path("runs/maps/0001"), load_plugins().registry, device="cpu", precision="fp64")
    batch = {"real_a": recording["input.A"][0].double(), "real_b": recording["input.B"][0].double()}
    scene = Scene(trained.program(), batch, (), Progress(0, 1, 1))
    with torch.no_grad():
        for signal, name in OUTPUTS.items():
            recorded = recording[f"out0.{name}"]
            ours = scene.value(Name(signal, 0, len(signal), signal))
            assert float((ours - recorded).abs().max()) < 1e-9
            assert float(recorded.std()) > 1e-3  # it says something
