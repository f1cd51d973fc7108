"""A bundle where a recipe or a run is asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def bundle(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> Path:
    assert ganforge("bundle", shapes_run, "-o", "shapes.ganforge.zip").code == 0
    return Path("shapes.ganforge.zip")


def test_its_recipe_is_a_recipe(bundle: Path, shapes_run: Path, ganforge: Callable) -> None:
    assert "cyclegan_shapes: all fits" in ganforge("check", bundle).out
    assert "channels: 5" in ganforge("show", bundle, "networks.G_ab.channels=5").out
    assert ganforge("cp", bundle, "mine.yaml").code == 0
    assert Path("mine.yaml").read_text() == (shapes_run / "recipe.yaml").read_text()
    Path("broken.zip").write_bytes(bundle.read_bytes()[:-9])
    outcome = ganforge("check", "broken.zip")
    assert (outcome.code, "the bundle broken.zip is damaged" in outcome.err) == (3, True)


def test_it_is_judged_as_its_run_is(bundle: Path, shapes_run: Path, ganforge: Callable) -> None:
    assert ganforge("evaluate", bundle).code == 0
    assert ganforge("evaluate", shapes_run, "-o", "of_run").code == 0
    ours, theirs = (json.loads(Path(p, "evaluation.json").read_text()) for p in ("shapes_evaluation", "of_run"))
    step = max(judged["step"] for judged in ours["checkpoints"])
    figures = [[c["figures"] for c in card["checkpoints"] if c["step"] == step] for card in (ours, theirs)]
    assert figures[0] == figures[1] != []


def test_what_is_printed_of_it_is_harmless(shapes_run: Path, ganforge: Callable, in_tmp: Path) -> None:
    run = in_tmp / "cyclegan_shapes/0001"
    shutil.copytree(shapes_run, run)
    record = json.loads((run / "run.json").read_text())
    hostile = "\x1b]0;owned\x07"
    metrics = {**record["metrics"], f"a{hostile}": 1.0}
    (run / "run.json").write_text(json.dumps({**record, "status": f"finished{hostile}", "metrics": metrics}))
    assert ganforge("bundle", run, "-o", "a.zip").code == 0
    outcome = ganforge("run", "a.zip", "--dry-run")
    assert "\x1b" not in outcome.out + outcome.err
    assert "finished?]0;owned?" in outcome.out
