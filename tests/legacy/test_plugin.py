"""A plugin that somebody wrote against 0.1.0 lives on: it is built, installed, passes its own tests, and trains.

`ganforge-lantern` is never changed to fit a newer ganforge. Where it fails, plugins of others do: keep what it names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from PIL import Image

from ganforge import load

LANTERN = Path(__file__).parent / "ganforge-lantern"

pytestmark = pytest.mark.skipif(shutil.which("uv") is None, reason="building a wheel needs uv on the PATH")


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def site(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A folder with the plugin, built as a wheel and installed as a stranger would."""

    def install(folder: Path) -> None:
        call("uv", "build", "--quiet", "--wheel", "--out-dir", folder / "dist", LANTERN, cwd=folder)
        target = ("--python", sys.executable, "--no-deps", "--target", folder / "site")
        call("uv", "pip", "install", "--quiet", *target, *(folder / "dist").glob("*.whl"), cwd=folder)

    return once("lantern", install) / "site"


@pytest.fixture
def lantern(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process sees the plugin, too."""
    monkeypatch.syspath_prepend(site)


def test_it_passes_its_own_tests(site: Path, in_tmp: Path) -> None:
    shutil.copytree(LANTERN / "tests", in_tmp / "tests")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = forked.run(command, cwd=in_tmp, env=os.environ | {"PYTHONPATH": str(site)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


@pytest.mark.usefixtures("lantern")
def test_its_recipe_runs_and_its_callback_reads_the_run(ganforge: Callable[..., Any], in_tmp: Path) -> None:
    listed = json.loads(ganforge("plugins", "--json").out)
    assert [(each["version"], each["state"]) for each in listed if each["name"] == "lantern"] == [("1.0", "loaded")]
    outcome = ganforge("run", "lantern")
    assert outcome.code == 0, outcome.err
    diary = json.loads((in_tmp / "runs/lantern/0001/diary.json").read_text())
    assert diary == {
        "heard": {
            "run_started": 1,
            "images_drawn": 3,
            "diagnosed": 1,
            "metrics_computed": 3,
            "step_ended": 4,
            "statistics_read": 4,
            "distributions_read": 3,
            "checkpoint_saved": 2,
            "run_ended": 1,
        },
        "failures": {},
        "lanes": 1,
        "again": "ganforge run runs/lantern/0001 --resume players.wicks.optimizer.lr=0.001",
    }
    resumed = ganforge("run", "runs/lantern/0001", "--resume", "run.steps=5")
    assert "finished at step 5 of 5" in resumed.out, resumed.err
    assert load("runs/lantern/0001")(Image.new("RGB", (24, 16))).size == (24, 16)


@pytest.mark.usefixtures("lantern")
def test_its_importer_and_its_command_work(ganforge: Callable[..., Any], in_tmp: Path) -> None:
    weights = {"a.weight": torch.zeros(2, 3, 3, 3), "a.bias": torch.zeros(2)}
    torch.save(weights | {"b.weight": torch.zeros(3, 2, 3, 3), "b.bias": torch.zeros(3)}, "old.pth")
    imported = ganforge("import", "lantern", "old.pth")
    assert "G: lantern.wick (channels 2)" in imported.out, imported.err
    assert ganforge("lamps", "3").out == "***\n"
    refused = ganforge("lamps", "0")
    assert (refused.code, refused.err) == (2, "error: no lamp to light; give a number: ganforge lamps 3\n")
