"""What 0.1.0 made lives on: a run that it left in the middle, and a bundle of the same run, finished.

Both were made by `ganforge run` and `ganforge bundle` of that version, from a CycleGAN with replay buffers, moving
averages, schedules on rates and weights, and a lazy penalty, in float64. They are never made anew.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load

HERE = Path(__file__).parent / "v0_1_0"
BUNDLE = HERE / "long_ago.ganforge.zip"
LAST = "checkpoints/step_0000010"


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(HERE / "interrupted", "runs/long_ago/0001"))


def of_the_bundle(name: str) -> dict[str, torch.Tensor]:
    with zipfile.ZipFile(BUNDLE) as packed:
        return load(packed.read(f"{LAST}/{name}.safetensors"))


def assert_near(run: Path) -> None:
    """As the run of then ended. CPUs round otherwise in the last of sixteen digits, and Adam makes steps of a bias in
    front of a norm, whose gradient is nothing but that: 3e-10 were seen, where a step is 2e-3."""
    for name in ("networks", "ema"):
        made, wanted = load((run / LAST / f"{name}.safetensors").read_bytes()), of_the_bundle(name)
        assert made.keys() == wanted.keys()
        for key, tensor in made.items():
            torch.testing.assert_close(tensor, wanted[key], rtol=0, atol=1e-8, msg=f"{name} {key}")


def test_the_run_goes_on_and_ends_as_it_would_have(interrupted: Path, ganforge: Callable[..., Any]) -> None:
    # The code of plugins may well have changed since.
    outcome = ganforge("run", interrupted, "--resume", "--accept-changes")
    assert outcome.code == 0, outcome.err
    assert "finished at step 10 of 10" in outcome.out
    assert_near(interrupted)


def test_the_run_is_of_use(interrupted: Path, ganforge: Callable[..., Any]) -> None:
    Image.linear_gradient("L").convert("RGB").resize((16, 24)).save("picture.png")
    for words in (
        ("translate", interrupted, "picture.png", "-o", "made"),
        ("evaluate", interrupted, "--metric", "absolute_error"),
        ("export", interrupted, "-o", "a2b.pt2", "--format", "torch"),
        ("gallery", interrupted, "-o", "page"),
        ("bundle", interrupted, "-o", "one.ganforge.zip"),
        ("runs", "runs"),
    ):
        outcome = ganforge(*words)
        assert outcome.code == 0, (words, outcome.err)
    assert Image.open("made/picture.png").size == (16, 24)


def test_the_bundle_is_reproduced(
    ganforge: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = ganforge("run", BUNDLE, "--out", "again")
    assert outcome.code == 0, outcome.err
    assert_near(next(Path("again").glob("*/0001")))
