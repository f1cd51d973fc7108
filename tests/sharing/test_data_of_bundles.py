"""What a bundle lists of a dataset's files: those that it names, or, where it names none, all that are there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RECIPE = """
data: {{type: listed, root: {root}, kind: {kind}}}
networks: {{N: {{type: cyclegan.patch_discriminator, channels: 2, layers: 1}}}}
signals: {{seen: N(real)}}
players: {{all: {{networks: [N], optimizer: {{type: adam, lr: 1e-3}}}}}}
phases:
  - train: all
    losses: {{small: {{type: l1, input: seen, target: seen}}}}
run: {{steps: 1, images: []}}
"""

PLUGIN = """
from pathlib import Path
import torch
from ganforge import Dataset, EnvironmentFault, Samples, hookimpl

class Listed(Dataset):
    def __init__(self, root: {type}, kind: str) -> None:
        self.root, self.kind = Path(root), kind
    def shapes(self): return {{"real": (3, 16, 16)}}
    def files(self):
        if self.kind == "silent": return ()
        found = sorted(self.root.glob("*.bin"))
        if len(found) < 2: raise EnvironmentFault("too few")
        return found
    def train(self): return Zeros()

class Zeros(Samples):
    def __len__(self): return 2
    def sample(self, index, rng): return {{"real": torch.zeros(3, 16, 16)}}

@hookimpl
def register_datasets(register): register("listed", Listed)
"""


@pytest.fixture
def manifest(ganforge: Callable, in_tmp: Path) -> Callable[..., dict[str, Any]]:
    """The data of the bundle of a run of `Listed`."""

    def packed(root: str, kind: str, option: str) -> dict[str, Any]:
        Path("listed.py").write_text(PLUGIN.format(type=option))
        Path("toy.yaml").write_text(RECIPE.format(root=root, kind=kind))
        assert ganforge("run", "toy.yaml", "-p", "listed.py").code == 0
        outcome = ganforge("bundle", "runs/toy/0001", "-p", "listed.py", "-o", "toy.zip")
        assert outcome.code == 0, outcome.err
        return json.loads(zipfile.ZipFile("toy.zip").read("data.json"))["paths"]

    return packed


def names(paths: dict[str, Any]) -> list[str]:
    return [name for name, _, _ in paths["root"]["files"]]


@pytest.fixture
def files(in_tmp: Path) -> None:
    for name in ("b.bin", "a.bin", "notes.txt"):
        path = in_tmp / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("option", ["Path", "str"])
def test_the_files_that_a_dataset_names(manifest: Callable, ganforge: Callable, option: str) -> None:
    paths = manifest("data", "telling", option)
    assert list(paths) == ["root"]  # `kind` is a text too, and no folder
    assert names(paths) == ["a.bin", "b.bin"]
    Path("data/notes.txt").write_text("what is not read may change")
    again = ("run", "toy.zip", "-p", "listed.py", "--dry-run")
    assert "data.root" not in ganforge(*again).err
    Path("data/b.bin").write_text("changed")
    assert "data.root: of 2 files below data, 1 different (b.bin)" in ganforge(*again).err


@pytest.mark.usefixtures("files")
def test_all_files_where_it_names_none(manifest: Callable) -> None:
    assert names(manifest("data", "silent", "Path")) == ["a.bin", "b.bin", "notes.txt"]


@pytest.mark.usefixtures("files")
def test_of_a_text_nobody_knows_that_it_is_a_folder(manifest: Callable) -> None:
    assert manifest("data", "silent", "str") == {}


def test_data_that_are_gone(manifest: Callable) -> None:
    assert manifest("nowhere", "telling", "Path") == {"root": {"path": "nowhere", "files": None}}
