"""Going back to a checkpoint: a new run that names its ancestor, which stays as it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from runfolder import Folder


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_new_run_goes_on_from_a_checkpoint_and_the_old_one_is_untouched(
    trained: Folder, resume: Callable, ganforge: Callable
) -> None:
    before = contents(trained.path)
    outcome = resume(trained.checkpoint(8))
    assert outcome.code == 0, outcome.err
    assert "going back to step 8 of runs/toy/0001, in a new run: runs/toy/0002" in outcome.out
    assert contents(trained.path) == before
    new = Folder(Path("runs/toy/0002"))
    assert new.record["ancestor"] == {"run": "toy/0001", "step": 8}
    assert new.record["status"] == "finished"
    assert 12 in new.steps
    # The same steps from the same state are the same, bit for bit.
    assert all(new.weights(12)[name].equal(tensor) for name, tensor in trained.weights(12).items())
    assert new.record["best"] == trained.record["best"]
    # TensorBoard and the panels begin there.
    assert min(new.rates("judge")) == 9
    assert list(new.texts("recipe")) == [8]
    assert sorted(path.name for path in (new.path / "images/a2b").iterdir()) == ["step_0000008.png", "step_0000012.png"]
    assert "from toy/0001 at 8" in ganforge("runs").out
    listed = {entry["name"]: entry for entry in json.loads(ganforge("runs", "--json").out)}
    assert listed["toy/0002"]["ancestor"] == {"run": "toy/0001", "step": 8}
    # It is a run like any other.
    assert resume(new.path, "run.epochs=7").code == 0
    assert ganforge("evaluate", new.path, "-p", "toy.py").code == 0
    assert "- it went on from step 8 of toy/0001\n" in (new.path / "evaluation.md").read_text()


def test_changes_may_be_made_on_the_way_back(trained: Folder, resume: Callable) -> None:
    refused = resume(trained.checkpoint(4), "players.judge.optimizer.lr=1e-3")
    assert refused.code == 2
    assert f"ganforge run {trained.checkpoint(4)} --resume -p toy.py --accept-changes" in refused.err
    assert not Path("runs/toy/0002").exists()
    accepted = resume(trained.checkpoint(4), "--accept-changes", "players.judge.optimizer.lr=1e-3")
    assert accepted.code == 0, accepted.err
    new = Folder(Path("runs/toy/0002"))
    assert new.record["changes"] == [{"step": 4, "key": "players.judge.optimizer.lr", "before": 0.01, "after": 0.001}]
    assert "D.weight" in {
        name for name in new.weights(12) if not new.weights(12)[name].equal(trained.weights(12)[name])
    }


def test_the_recipe_is_the_one_that_held_then(trained: Folder, resume: Callable) -> None:
    changed = ("--accept-changes", "players.judge.optimizer.lr=1e-3", "run.epochs=8", "players.judge.schedule=null")
    assert resume(trained.path, *changed).code == 0
    assert resume(trained.checkpoint(8)).code == 0
    back = Folder(Path("runs/toy/0002"))
    assert (back.record["total_steps"], back.record.get("changes", [])) == (12, [])
    assert all(back.weights(12)[name].equal(tensor) for name, tensor in trained.weights(12).items())
    assert resume(trained.checkpoint(16), "run.epochs=9").code == 0
    after = Folder(Path("runs/toy/0003")).record
    assert [entry["step"] for entry in after["changes"]] == [12] * (len(after["changes"]) - 1) + [16]


def test_the_best_until_then_is_what_later_figures_are_held_against(trained: Folder, resume: Callable) -> None:
    at_8 = json.loads((trained.checkpoint(8) / "state.json").read_text())["training"]["best"]
    assert at_8
    assert max(entry["step"] for entry in at_8.values()) <= 8
    frozen = ("--accept-changes", "players.generator.optimizer.lr=0", "players.judge.optimizer.lr=0")
    assert resume(trained.checkpoint(8), *frozen).code == 0
    assert Folder(Path("runs/toy/0002")).record["best"] == at_8


def test_without_resume_it_is_an_error_with_the_cure(trained: Folder, ganforge: Callable) -> None:
    outcome = ganforge("run", trained.checkpoint(8), "-p", "toy.py")
    assert outcome.code == 2
    assert f"ganforge run {trained.checkpoint(8)} --resume" in outcome.err
    assert ganforge("check", trained.checkpoint(8), "-p", "toy.py").code == 0


def test_a_damaged_checkpoint_and_one_that_is_gone_are_refused(trained: Folder, resume: Callable) -> None:
    weights = trained.checkpoint(8) / "networks.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    damaged = resume(trained.checkpoint(8))
    assert damaged.code == 3
    assert "the checkpoint runs/toy/0001/checkpoints/step_0000008 is damaged: networks.safetensors" in damaged.err
    assert "step_0000004, step_0000012" in damaged.err
    shutil.rmtree(trained.checkpoint(8))
    gone = resume(trained.checkpoint(8))
    assert gone.code == 2
    assert "no whole checkpoint of step 8; it has: step_0000004, step_0000012" in gone.err
    assert not Path("runs/toy/0002").exists()


def test_the_last_step_has_nothing_left_and_leaves_no_folder(trained: Folder, resume: Callable) -> None:
    outcome = resume(trained.checkpoint(12))
    assert outcome.code == 0
    assert "toy/0001 is finished: 12 of 12 steps" in outcome.out
    assert not Path("runs/toy/0002").exists()


def test_the_new_run_lies_beside_its_ancestor_or_where_it_is_said(trained: Folder, resume: Callable) -> None:
    here = Path.cwd()
    os.chdir("runs")
    Path("toy.py").write_bytes((here / "toy.py").read_bytes())
    assert resume("toy/0001/checkpoints/step_0000008").code == 0
    assert (here / "runs/toy/0002/run.json").is_file()
    assert resume("toy/0001/checkpoints/step_0000008", "--out", "elsewhere").code == 0
    assert (here / "runs/elsewhere/toy/0001/run.json").is_file()


def test_ranks_go_back_once_though_their_launcher_starts_them_again(
    trained: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganforge.commands._ranks import _place
    from ganforge.commands._start import RunRequest
    from ganforge.plugins.loading import load_plugins

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    files, change = (Path("toy.py"),), "players.judge.optimizer.lr=1e-3"
    request = RunRequest(str(trained.checkpoint(8)), (change,), True, True, Path("runs"), files)
    plugins = load_plugins(files)
    recipe = request.opened(plugins)
    places = []
    for _ in range(2):
        place, goes_on = _place(recipe, request, plugins)
        assert goes_on
        place.note(status="running", process={})
        places.append(place.path)
    assert places == [Path("runs/toy/0002")] * 2


def test_a_launcher_hands_on_what_is_accepted(
    trained: Folder, resume: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[list[str]] = []
    monkeypatch.setattr("ganforge.commands._launch.launch", lambda words, *_: launched.append(words))
    change = "players.judge.optimizer.lr=1e-3"
    assert resume(trained.checkpoint(8), "--accept-changes", "--nproc", "2", change).code == 0
    asked = ["run", str(trained.checkpoint(8)), change, "--resume", "--accept-changes", "--out", "runs", "-p", "toy.py"]
    assert launched == [asked]
