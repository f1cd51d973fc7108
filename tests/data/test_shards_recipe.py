"""A recipe on shards, by the command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sharded import pack_small

Run = Callable[..., object]


@pytest.mark.parametrize("workers", [0, 2])
def test_cyclegan_trains_on_shards_and_goes_on_exactly(
    repository: Path, picture_folders: Path, in_tmp: Path, ganforge: Run, workers: int
) -> None:
    pack_small(picture_folders, in_tmp / "packed")
    recipe = repository / "recipes/tiny/cyclegan_horse2zebra.yaml"
    change = [
        "data.type=unpaired_shards",
        "data.root=packed",
        "run.steps=8",
        "run.checkpoint_every=3",
        "run.device=cpu",
    ]
    assert ganforge("run", recipe, *change).code == 0
    checkpoints = in_tmp / "runs/cyclegan_horse2zebra/0001/checkpoints"
    whole = {path.name: path.read_bytes() for path in (checkpoints / "step_0000008").glob("*.safetensors")}
    assert len(whole) == 3
    for step in (6, 8):
        shutil.rmtree(checkpoints / f"step_000000{step}")
    resumed = ganforge("run", recipe, "--resume", *change, f"data.workers={workers}")  # in the first epoch of 5 steps
    assert resumed.code == 0, resumed.err
    assert {path.name: path.read_bytes() for path in (checkpoints / "step_0000008").glob("*.safetensors")} == whole


def test_pix2pix_trains_on_shards(repository: Path, pair_folders: Path, in_tmp: Path, ganforge: Run) -> None:
    pack_small(pair_folders, in_tmp / "packed")
    recipe = repository / "recipes/tiny/pix2pix_facades.yaml"
    done = ganforge("run", recipe, "data.type=paired_shards", "data.root=packed", "run.steps=2", "run.device=cpu")
    assert done.code == 0, done.err
