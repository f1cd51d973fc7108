"""The wheels install and work where the repository is not, and so does the tutorial."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from documents import check_printed, commands, write_files
from environments import share_bytecode
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(shutil.which("uv") is None, reason="building wheels needs uv on the PATH")


@pytest.fixture(scope="module")
def wheels(once: Callable[..., Path]) -> list[Path]:
    def build(out: Path) -> None:
        # From the source distributions, as an index would: what they lack, the wheels lack.
        uv("build", "--all-packages", "--out-dir", out, cwd=ROOT)

    return sorted(once("dist", build).glob("*.whl"))


def uv(*arguments: str | Path, cwd: Path) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    command = ["uv", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_recipes_and_types_come_along(wheels: list[Path]) -> None:
    names = {wheel.name.split("-")[0]: set(zipfile.ZipFile(wheel).namelist()) for wheel in wheels}
    families = {path.name.replace("-", "_") for path in (ROOT / "plugins").iterdir()}
    assert set(names) == {"ganforge", *families}
    assert "ganforge/py.typed" in names["ganforge"]
    for family in families:
        assert f"{family}/py.typed" in names[family]
        assert not [name for name in names["ganforge"] if family.removeprefix("ganforge_") in name]
    assert "ganforge_cyclegan/recipes/cyclegan_horse2zebra.yaml" in names["ganforge_cyclegan"]


@pytest.fixture(scope="module")
def environment(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment."""
    folder = tmp_path_factory.mktemp("environment")
    uv("venv", "venv", cwd=folder)
    return folder / "venv"


def test_the_tutorial_works_in_an_empty_environment(wheels: list[Path], environment: Path, tmp_path: Path) -> None:
    """As a reader does it: every file is written, every command typed, and what it prints compared."""
    page = ROOT / "docs" / "tutorial.md"
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    clean = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    write_files(page, tmp_path)
    for command, expected in commands(page):
        if command.startswith("pip install "):  # from the wheels, as from an index that has them
            found = ["--find-links", wheels[0].parent]
            uv("pip", "install", "--python", environment, *found, *command.split()[2:], cwd=tmp_path)
            share_bytecode(environment)
            continue
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=clean | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=600,
        )
        check_printed(command, expected, done.stdout + done.stderr)
    reader = EventAccumulator(str(tmp_path / "runs/smooth_shapes/0001"))
    reader.Reload()
    assert len(reader.Scalars("losses/smooth_cycle")) == 5, "steps 1, 5, 10, 15 and 20"
    record = json.loads((tmp_path / "runs/cyclegan_shapes/0001/run.json").read_text())
    assert record["status"] == "finished"
    assert record["versions"]["ganforge-cyclegan"]
