"""A toy run of twelve steps and six epochs, made once; each test goes on with a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runfolder import Folder

PLUGIN = """
from torch import Tensor, nn

from ganforge import Register, hookimpl


def paint() -> nn.Module:
    return nn.Conv2d(3, 3, 3, padding=1)


def judge() -> nn.Module:
    return nn.Conv2d(3, 1, 3, padding=1)


def fool(fake: Tensor, wanted: float = 1.0) -> Tensor:
    return (fake - wanted).square().mean()


@hookimpl
def register_networks(register: Register) -> None:
    register("paint", paint)
    register("judge", judge)


@hookimpl
def register_losses(register: Register) -> None:
    register("fool", fool)
"""
RECIPE = """
data: {type: shapes, size_px: 8, count: 8, validation: 2, batch_size: 4}
networks:
  G: {type: toy.paint}
  D: {type: toy.judge}
signals: {fake: G(real_a)}
players:
  generator:
    networks: [G]
    optimizer: &adam {type: adam, lr: 1e-2, betas: [0.5, 0.999]}
    schedule: &decay {type: linear_decay, hold_epochs: 3, decay_epochs: 3, per: step}
  judge: {networks: [D], optimizer: *adam, schedule: *decay}
phases:
  - train: generator
    losses:
      adv: {type: fool, fake: D(fake)}
      colour: {type: l1, input: fake, target: real_a, weight: 5}
  - train: judge
    losses: {real: {type: fool, fake: D(real_b)}, fake: {type: fool, fake: D(fake), wanted: 0}}
metrics:
  a_to_b: {type: translation_error, translated: fake, original: real_a, truth: true_b}
run:
  epochs: 6
  device: cpu
  images: [real_a, fake]
  images_every: 100
  log_every: 1
  metrics_every: 4
  checkpoint_every: 4
  keep_last: 9
"""


@pytest.fixture
def trained(
    once: Callable[..., Path], ganforge: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Folder:
    """The run `runs/toy/0001`, in the working directory of the test; `toy.py` and `toy.yaml` are beside it."""

    def fill(folder: Path) -> None:
        (folder / "toy.py").write_text(PLUGIN)
        (folder / "toy.yaml").write_text(RECIPE)
        monkeypatch.chdir(folder)
        outcome = ganforge("run", "toy.yaml", "-p", "toy.py")
        assert outcome.code == 0, outcome.err

    shutil.copytree(once("resuming", fill), tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return Folder(Path("runs/toy/0001"))


@pytest.fixture
def resume(ganforge: Callable[..., Any]) -> Callable[..., Any]:
    """`ganforge run WHAT --resume -p toy.py ...`."""

    def go_on(what: Path | str, *more: str) -> Any:
        return ganforge("run", str(what), "--resume", "-p", "toy.py", *more)

    return go_on
