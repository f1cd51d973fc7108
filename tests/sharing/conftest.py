"""Runs to share, each trained once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ganforge.cli import cli

TINY = Path(__file__).resolve().parents[2] / "recipes" / "tiny"


def train(out: Path, recipe: str, *overrides: str) -> Path:
    """The folder of a new run."""
    arguments = ["run", str(TINY / recipe), "--out", str(out), *overrides]
    cli.main(arguments, prog_name="ganforge", standalone_mode=False)
    return max((out / Path(recipe).stem).iterdir())


@pytest.fixture(scope="session")
def shapes_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a dataset made in memory, with figures."""
    return train(tmp_path_factory.mktemp("shapes"), "cyclegan_shapes.yaml")


@pytest.fixture(scope="session")
def folders_run(tmp_path_factory: pytest.TempPathFactory, picture_folders: Path) -> Path:
    """Of pictures in folders."""
    data = (f"data.root={picture_folders}", "data.download=null", "run.steps=1", "run.epochs=null")
    return train(tmp_path_factory.mktemp("folders"), "cyclegan_horse2zebra.yaml", *data)


def written_run(path: Path, recipe: str = "run: {steps: 4}\n", **entries: Any) -> Path:
    """A run's folder that nothing was trained in."""
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"recipe": path.parent.name, **entries}))
    (path / "recipe.yaml").write_text(recipe)
    return path
