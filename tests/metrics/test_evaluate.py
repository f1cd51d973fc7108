"""`ganforge evaluate`, and metrics while a run trains."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganforge import EnvironmentFault

HERE = Path(__file__).parent
TINY = HERE.parents[1] / "recipes/tiny"
PLUGIN = ("-p", HERE / "features.py")
FADING = (  # a figure that is known, and best at step 3
    "schedules.fade={type: ramp, start: 0, end: 1, steps: 4}",
    "metrics.far={type: features.distance, number: 'faded(real_a, fade)', wanted: 0.75}",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ganforge.cli import main

    out = tmp_path_factory.mktemp("runs")
    recipe = str(TINY / "cyclegan_shapes.yaml")
    with pytest.raises(SystemExit) as ended:
        main(["run", recipe, "run.metrics_every=1", "run.keep_last=1", "--out", str(out)])
    assert ended.value.code == 0
    return out


@pytest.fixture
def trained(finished: Path, in_tmp: Path) -> Path:
    """A run whose every step was measured."""
    shutil.copytree(finished, in_tmp / "runs")
    return Path("runs/cyclegan_shapes/0001")


def card(folder: Path) -> dict:
    return json.loads((folder / "evaluation.json").read_text())


def test_last_and_best_are_judged_in_both_directions(ganforge: Callable, trained: Path) -> None:
    record = json.loads((trained / "run.json").read_text())
    best = {entry["step"] for entry in record["best"].values()}
    kept = {int(path.name[5:]) for path in (trained / "checkpoints").iterdir()}
    assert kept == best | {4}

    options = ("--metric", "fid", "--metric", "kid", "--metric", "ssim", "--features", "features.seen")
    outcome = ganforge("evaluate", trained, *options, *PLUGIN)
    assert outcome.code == 0, outcome.err
    told = card(trained)
    assert [each["step"] for each in told["checkpoints"]] == sorted(kept, reverse=True)
    figures = told["checkpoints"][0]["figures"]
    assert {"fid_a2b", "fid_b2a", "kid_a2b/mean", "kid_a2b/error", "ssim_b2a", "a_to_b/times_lower"} <= set(figures)
    assert figures["a_to_b/times_lower"] == pytest.approx(record["metrics"]["a_to_b/times_lower"], rel=1e-2)  # bf16
    assert told["metrics"]["fid_b2a"]["inputs"] == {"real": "seen(real_a)", "fake": "seen(fake_a)"}
    assert told["metrics"]["fid_b2a"]["better"] == {"fid_b2a": "lower"}
    assert any("biased upwards" in remark for remark in told["metrics"]["fid_a2b"]["remarks"])
    assert told["data"]["samples"] == 4
    assert told["run"] == "cyclegan_shapes/0001"
    assert "a_to_b/mean_absolute_error  " in outcome.out
    assert " ± " in next(line for line in outcome.out.splitlines() if line.startswith("kid_a2b/mean"))
    assert told["weights"] == "averaged (EMA)"
    assert len(told["data"]["reference_sha256"]) == 64
    text = (trained / "evaluation.md").read_text()
    assert "| fid_a2b | " in text
    assert "biased upwards" in text
    assert "fid_a2b" in outcome.out


def test_the_same_checkpoint_has_the_same_figures_and_raw_weights_others(ganforge: Callable, trained: Path) -> None:
    options = ("--metric", "kid", "--features", "features.seen", *PLUGIN)
    for name, more in (("one", ()), ("two", ()), ("raw", ("--raw",))):
        assert ganforge("evaluate", trained / "checkpoints/step_0000004", "-o", name, *options, *more).code == 0
    one, two, raw = (card(Path(name)) for name in ("one", "two", "raw"))
    assert one["checkpoints"] == two["checkpoints"]
    assert one["data"] == two["data"]
    assert raw["weights"] == "raw"
    assert raw["checkpoints"] != one["checkpoints"]
    assert [each["step"] for each in one["checkpoints"]] == [4]


def test_what_generates_from_noise_is_judged_too(ganforge: Callable, in_tmp: Path) -> None:
    assert ganforge("run", TINY / "dcgan_spots.yaml").code == 0
    asked = ("--metric", "fid", "--metric", "precision_recall", "--features", "features.seen", *PLUGIN)
    outcome = ganforge("evaluate", "runs/dcgan_spots/0001", *asked)
    assert outcome.code == 0, outcome.err
    assert {"fid_fake", "precision_recall_fake/recall"} <= set(card(Path("runs/dcgan_spots/0001"))["best"])


@pytest.mark.parametrize(
    ("recipe", "asked", "told"),
    [
        ("dcgan_spots", (), "has no metrics, and none is asked for"),
        ("dcgan_spots", ("--metric", "ssim"), "compares with the truth, which the data of dcgan_spots do not have"),
        ("dcgan_spots", ("--metric", "fidd"), "unknown metric 'fidd'; did you mean 'fid'?"),
        ("dcgan_spots", ("--metric", "kid", "--features", "seeen"), "unknown op 'seeen'"),
        ("r1_ring", ("--metric", "kid", "--features", "features.seen"), "no signal that a discriminator judges"),
    ],
)
def test_what_cannot_be_asked_is_told(
    ganforge: Callable, in_tmp: Path, recipe: str, asked: tuple[str, ...], told: str
) -> None:
    assert ganforge("run", TINY / f"{recipe}.yaml", "metrics=null").code == 0
    outcome = ganforge("evaluate", f"runs/{recipe}/0001", *asked, *PLUGIN)
    assert outcome.code == 2
    assert told in outcome.err
    assert not (Path("runs") / recipe / "0001/evaluation.json").exists()


def test_missing_weights_are_told_before_anything_is_loaded(
    ganforge: Callable, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    other = HERE / "features.py"
    with monkeypatch.context() as quick:
        quick.setattr("ganforge.evaluation.requested_metrics.planned", lambda *_: pytest.fail("too late"))
        for metric, network in (("fid", "inception"), ("lpips", "lpips")):
            outcome = ganforge("evaluate", trained, "--metric", metric)
            assert outcome.code == 3
            assert f"{network} needs weights that are not on this machine" in outcome.err
        outcome = ganforge("evaluate", trained, "--metric", "fid", f"ops.inception.weights={other}")
        assert outcome.code == 3
        assert "features.py is not what inception needs" in outcome.err
    outcome = ganforge("evaluate", trained, "--metric", "lpips", f"metrics.lpips_a2b.weights={other}")
    assert outcome.code == 3
    assert "features.py is not what lpips needs" in outcome.err


def test_one_best_checkpoint_is_judged_by_its_metric(ganforge: Callable, trained: Path) -> None:
    reached = json.loads((trained / "run.json").read_text())["best"]["b_to_a/mean_absolute_error"]
    asked = ("--best", "b_to_a/mean_absolute_error", "data.validation=3")
    assert ganforge("evaluate", trained, *asked).code == 0
    told = card(trained)
    assert [each["step"] for each in told["checkpoints"]] == [reached["step"]]
    assert told["last"] == 4
    outcome = ganforge("evaluate", trained, "--best", "fid_b")
    assert outcome.code == 2
    assert "'fid_b' has no checkpoint that was kept for it" in outcome.err
    assert "a_to_b/mean_absolute_error" in outcome.err


def test_the_card_counts_both_sides_and_warns(ganforge: Callable, in_tmp: Path, picture_folders: Path) -> None:
    """testA has 2 pictures, testB 3."""
    assert ganforge("run", TINY / "cyclegan_horse2zebra.yaml", f"data.root={picture_folders}", "run.steps=1").code == 0
    folder = Path("runs/cyclegan_horse2zebra/0001")
    outcome = ganforge("evaluate", folder, "--metric", "fid", "--features", "features.seen", *PLUGIN)
    assert outcome.code == 0, outcome.err
    metrics = card(folder)["metrics"]
    assert metrics["fid_a2b"]["n"] == {"real": 3, "fake": 2}
    assert metrics["fid_b2a"]["n"] == {"real": 2, "fake": 3}
    assert "warning: fid_a2b: of 2 pictures it is biased upwards" in outcome.err
    text = (folder / "evaluation.md").read_text()
    assert "**Warning:** fid_a2b: of 2 pictures it is biased upwards" in text
    assert "real seen(real_b) (N = 3), fake seen(fake_b) (N = 2)" in text
    assert "resizer: bicubic" in text
    assert "seen: features.seen. Features `[N, 6]` of pictures." in text


def test_schedules_stand_where_the_checkpoint_was_saved(ganforge: Callable, in_tmp: Path) -> None:
    recipe, exact = TINY / "cyclegan_shapes.yaml", ("run.metrics_every=2", "run.precision=fp32")
    assert ganforge("run", recipe, *exact, *FADING, *PLUGIN).code == 0
    folder = Path("runs/cyclegan_shapes/0001")
    assert ganforge("evaluate", folder / "checkpoints/step_0000002", *PLUGIN).code == 0
    half = card(folder)["checkpoints"][0]["figures"]
    assert half["far"] == pytest.approx(0.25)
    # The same figures as while it trained, to the last bit.
    assert ganforge("evaluate", folder, *PLUGIN).code == 0
    assert card(folder)["checkpoints"][0]["figures"] == json.loads((folder / "run.json").read_text())["metrics"]


def test_a_best_figure_whose_checkpoint_was_lost_is_forgotten(
    ganforge: Callable, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is killed after a figure was noted, and before its checkpoint is whole."""
    from ganforge.runs.checkpoint import keeper

    def save(folder: Path, step: int, checkpoint: Any) -> Path:
        if step == 3:
            raise EnvironmentFault("the disk is full")
        return save_checkpoint(folder, step, checkpoint)

    folder, save_checkpoint = Path("runs/cyclegan_shapes/0001"), keeper.save_checkpoint
    with monkeypatch.context() as broken:
        broken.setattr(keeper, "save_checkpoint", save)
        often = ("run.metrics_every=1", "run.keep_last=1")
        assert ganforge("run", TINY / "cyclegan_shapes.yaml", *often, *FADING, *PLUGIN).code == 3
    assert json.loads((folder / "run.json").read_text())["best"]["far"] == {"step": 3, "value": 0}
    assert not (folder / "checkpoints/step_0000003").exists()
    assert ganforge("run", folder, "--resume", *PLUGIN).code == 0
    assert json.loads((folder / "run.json").read_text())["best"]["far"] == {"step": 3, "value": 0}
    assert {path.name for path in (folder / "checkpoints").iterdir()} >= {"step_0000003", "step_0000004"}


def test_metrics_that_are_asked_for_take_options(ganforge: Callable, trained: Path) -> None:
    asked = ("--metric", "kid", "--features", "features.seen", "metrics.kid_a2b.subsets=7")
    assert ganforge("evaluate", trained, *asked, *PLUGIN).code == 0
    metrics = card(trained)["metrics"]
    assert metrics["kid_a2b"]["options"] == {"subsets": 7}
    assert metrics["kid_b2a"]["options"] == {}


def test_a_run_that_lacks_something_does_not_start(
    ganforge: Callable, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganforge.runs.set_up.planned", lambda *_: pytest.fail("too late"))
    metric = "metrics.far={type: fid, real: look(real_b), fake: look(fake_b)}"
    recipe = TINY / "cyclegan_shapes.yaml"
    outcome = ganforge("run", recipe, "ops.look={type: features.fussy}", metric, *PLUGIN)
    assert outcome.code == 3
    assert "the seven seals are missing" in outcome.err
    assert not Path("runs").exists()
    assert ganforge("check", recipe, "ops.look={type: inception}", metric).code == 0  # it needs no weights


def test_metrics_of_features_are_computed_while_training(ganforge: Callable, in_tmp: Path) -> None:
    metric = "metrics.far={type: kid, real: look(real_b), fake: look(fake_b)}"
    recipe = TINY / "cyclegan_shapes.yaml"
    assert ganforge("run", recipe, "ops.look={type: features.seen}", metric, *PLUGIN).code == 0
    folder = Path("runs/cyclegan_shapes/0001")
    assert {"far/mean", "far/error"} <= set(json.loads((folder / "run.json").read_text())["metrics"])
    # A resumed run remembers what was best.
    assert ganforge("run", folder, "--resume", "run.steps=5", *PLUGIN).code == 0
    assert json.loads((folder / "run.json").read_text())["best"]["far/mean"]["step"] in (4, 5)


def test_other_networks_than_those_that_were_trained_are_told(ganforge: Callable, trained: Path) -> None:
    outcome = ganforge("evaluate", trained, "networks.G_ab.channels=8")
    assert outcome.code == 3
    assert "step_0000004 are not those of the recipe: size mismatch for G_ab." in outcome.err
