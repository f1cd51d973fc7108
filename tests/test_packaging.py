"""The wheels install and work where the repository is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUN = ["run", "cyclegan_shapes", "run.steps=2", "data.count=4", "data.validation=2", "data.size_px=32"]

pytestmark = pytest.mark.skipif(shutil.which("uv") is None, reason="building wheels needs uv on the PATH")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("dist")
    # From the source distributions, as an index would: what they lack, the wheels lack.
    uv("build", "--all-packages", "--out-dir", out, cwd=ROOT)
    return sorted(out.glob("*.whl"))


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


def test_the_wheels_train_in_an_empty_environment(wheels: list[Path], tmp_path: Path) -> None:
    uv("venv", "venv", cwd=tmp_path)
    uv("pip", "install", "--python", "venv", *wheels, cwd=tmp_path)
    ganforge = tmp_path / "venv" / "bin" / "ganforge"
    done = subprocess.run([ganforge, *RUN], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "runs/cyclegan_shapes/0001/run.json").read_text())
    assert record["status"] == "finished"
    assert record["versions"]["ganforge-cyclegan"]
