"""Samples are held against what their dataset says, before anything wrong is learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RECIPE = """
data: {{type: noise, kind: {kind}, batch_size: 2}}
networks:
  G: &C {{type: pixel}}
  D: *C
signals:
  fake: G(real)
players:
  g: {{networks: [G], optimizer: {{type: adam, lr: 2e-4}}}}
  d: {{networks: [D], optimizer: {{type: adam, lr: 2e-4}}}}
phases:
  - train: g
    losses: {{adv: {{type: classics.lsgan_g, fake: D(fake)}}}}
  - train: d
    losses: {{judge: {{type: classics.lsgan_d, real: D(real), fake: D(fake)}}}}
run: {{steps: 6, images: [real], log_every: 2}}
"""
PLUGIN = '''
import random

import torch
from torch import nn

from ganforge import Dataset, Samples, hookimpl


class Noise(Dataset):
    """Noise of many kinds."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shapes(self):
        return {"real": (3, 8, 8), "label": ()}

    def dtypes(self):
        return {"label": torch.int64}

    def ranges(self):
        return {"label": range(3)}

    def train(self):
        return Made("good" if self.kind == "held" else self.kind)

    def validation(self):
        return Made("bytes" if self.kind == "held" else "good")


class Made(Samples):
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __len__(self) -> int:
        return 12

    def sample(self, index: int, rng: random.Random):
        real = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(rng.getrandbits(40)))
        label, more = torch.tensor(index % 3), {}
        real[0, 0, 0], real[0, 0, 1] = 0, 1
        match self.kind:
            case "good":
                real = real * 2 - 1
            case "bright":
                real = real * 0.6 + 0.4
            case "mask":
                real = real.round()
            case "bytes":
                real = real * 255
            case "standard":
                real = real * 5 - 2.5
            case "nan":
                real[1, 1, 1] = float("nan")
            case "dark":
                real = (real * 20).to(torch.uint8)
            case "shape":
                real = real[:, :4]
            case "one":
                real = (real if index != 5 else real[:, :4]) * 2 - 1
            case "int":
                real = (real * 255).to(torch.int32)
            case "label":
                real, label = real * 2 - 1, torch.tensor(index % 4)
            case "bytelabel":
                real, label = real * 2 - 1, label.to(torch.uint8)
            case "tuple":
                return real * 2 - 1, label
            case "lacking":
                return {"real": real * 2 - 1}
            case "extra":
                more = {"mask": real}
        return {"real": real, "label": label, **more}


class Pixel(nn.Module):
    """One convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images)


@hookimpl
def register_datasets(register) -> None:
    register("noise", Noise)


@hookimpl
def register_networks(register) -> None:
    register("pixel", Pixel)
'''


@pytest.fixture
def run(in_tmp: Path, ganforge: Callable) -> Callable:
    (in_tmp / "noise_plugin.py").write_text(PLUGIN)

    def of_kind(kind: str, command: str = "run", *more: str) -> object:
        (in_tmp / "noise.yaml").write_text(RECIPE.format(kind=kind))
        return ganforge(command, "noise.yaml", "-p", "noise_plugin.py", *more)

    return of_kind


FAULTS = {
    "bytes": "'real' of training sample {n} leaves [-1, 1]: it goes from 0 to 255",
    "standard": "'real' of training sample {n} leaves [-1, 1]: it goes from -2.5 to 2.5",
    "held": "'real' of validation sample 0 leaves [-1, 1]",
    "nan": "'real' of training sample {n} holds NaN or infinity",
    "shape": "'real' of training sample {n} is [3, 4, 8], and shapes() says [3, 8, 8]",
    "one": "'real' of training sample 5 is [3, 4, 8], and shapes() says [3, 8, 8]",
    "int": "'real' of training sample {n} is torch.int32, not torch.float32 or torch.uint8",
    "label": "'label' of training sample {n} goes from 3 to 3, and ranges() says range(0, 3)",
    "bytelabel": "'label' of training sample {n} is torch.uint8, which is taken for a picture",
    "lacking": "training sample {n} has the fields real, and shapes() says label, real",
    "tuple": "training sample {n} is a list, and no dict of tensors",
    "extra": "training sample {n} has the fields label, mask, real, and shapes() says label, real",
}


@pytest.mark.parametrize(("kind", "workers"), [*((kind, 0) for kind in FAULTS), ("bytes", 1), ("one", 1)])
def test_what_is_not_as_the_dataset_says_ends_the_run_at_its_place(run: Callable, kind: str, workers: int) -> None:
    done = run(kind, "run", f"data.workers={workers}")
    assert done.code == 2, done.err
    before, _, after = FAULTS[kind].partition("{n}")
    assert before in done.err
    assert after in done.err
    assert "noise.yaml:2:14: the dataset 'noise_plugin.noise'" in done.err


@pytest.mark.parametrize("kind", ["bytes", "held"])
def test_check_reads_the_data_when_asked(run: Callable, kind: str) -> None:
    assert run(kind, "check").code == 0
    done = run(kind, "check", "--data")
    assert done.code == 2
    assert FAULTS[kind].partition("{n}")[0] in done.err


def test_check_says_what_it_saw(run: Callable) -> None:
    done = run("good", "check", "--data")
    assert done.code == 0
    assert "12 training samples, of which the first are as the dataset says:" in done.out
    assert "real: float32 [3, 8, 8], -1 to 1" in done.out
    assert "label: int64 [], 0 to 2" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("kind", "warning"),
    [
        ("unit", "'real' of the first 8 training samples goes from 0 to 1, and black is -1"),
        ("dark", "'real' of the first 8 training samples is never above 20 of 255: networks see black"),
        ("good", ""),
        ("bright", ""),
        ("mask", ""),
    ],
)
def test_what_is_suspicious_is_a_warning(run: Callable, kind: str, warning: str) -> None:
    done = run(kind)
    assert done.code == 0, done.err
    assert warning in done.err
    assert ("warning" in done.err) == bool(warning)
