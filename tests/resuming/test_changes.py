"""What a resumed run may change when that is accepted, and that it takes effect and is noted."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runfolder import Folder

LR = "players.judge.optimizer.lr"
CONSTANT = ("players.generator.schedule=null", "players.judge.schedule=null", "run.epochs=8")


def test_unaccepted_changes_are_refused_with_a_command_that_accepts_them(
    trained: Folder, resume: Callable, ganforge: Callable
) -> None:
    refused = resume(trained.path, "run.epochs=8", f"{LR}=2e-2", "players.judge.schedule={type: cosine, over: 80%}")
    assert refused.code == 2
    assert "  players.judge.optimizer.lr: 0.01 -> 0.02\n" in refused.err
    (offer,) = re.findall(r"go on with the changes: ganforge (.+)", refused.err)
    assert trained.record["status"] == "finished"
    accepted = ganforge(*shlex.split(offer))
    assert accepted.code == 0, accepted.err
    noted = {entry["key"]: entry for entry in trained.record["changes"]}
    assert noted[LR] == {"step": 12, "key": LR, "before": 0.01, "after": 0.02}
    assert (noted["players.judge.schedule.over"]["before"], noted["players.judge.schedule.over"]["after"]) == (
        "absent",
        "80%",
    )
    again = resume(trained.path, "run.epochs=9")  # the run's recipe is the changed one
    assert again.code == 0, again.err


def test_a_changed_rate_takes_effect_and_is_told_everywhere(
    trained: Folder, resume: Callable, ganforge: Callable
) -> None:
    """An optimizer's state has the old rate in it, and so had `lr: null` of a schedule that is gone."""
    outcome = resume(
        trained.path, "--accept-changes", *CONSTANT, f"{LR}=1e-3", "players.judge.optimizer.betas=[0.9,0.9]"
    )
    assert outcome.code == 0, outcome.err
    assert re.search(rf"changed +{LR}: 0.01 -> 0.001\n", outcome.out)
    rates = {player: trained.rates(player) for player in ("generator", "judge")}
    assert rates["judge"][14] == pytest.approx(1e-3)
    assert rates["generator"][14] == pytest.approx(1e-2)
    assert rates["judge"][11] < 5e-3
    state = json.loads((trained.checkpoint(16) / "state.json").read_text())
    (group,) = state["training"]["trainer"]["players"]["judge"]["optimizer"]["param_groups"]
    assert group["betas"] in ([0.9, 0.9], {"$tuple": [0.9, 0.9]})
    assert trained.moved(12, 16) == set(trained.weights(12))
    assert f"| {LR} | 0.01 | 0.001 |" in trained.texts("changes")[12]
    # The card says it, in words and as data.
    assert ganforge("evaluate", trained.path, "-p", "toy.py").code == 0
    assert f"- changed at step 12: {LR}: 0.01 -> 0.001\n" in (trained.path / "evaluation.md").read_text()
    changes = json.loads((trained.path / "evaluation.json").read_text())["changes"]
    assert {"step": 12, "key": LR, "before": 0.01, "after": 0.001} in changes


def test_weights_of_losses_and_their_options_and_clipping(trained: Folder, resume: Callable) -> None:
    options = ("phases.0.losses.colour.weight=0", "phases.0.losses.adv.wanted=3", "players.judge.clip_norm=1e-6")
    plain = resume(trained.checkpoint(8))
    changed = resume(trained.checkpoint(8), "--accept-changes", *options, "phases.1.losses.real.every=2")
    assert (plain.code, changed.code) == (0, 0), changed.err
    one, other = Folder(Path("runs/toy/0002")), Folder(Path("runs/toy/0003"))
    assert all(one.weights(12)[name].equal(tensor) for name, tensor in trained.weights(12).items())
    assert not any(one.weights(12)[name].equal(tensor) for name, tensor in other.weights(12).items())
    assert {entry["key"] for entry in other.record["changes"]} == {
        *(option.partition("=")[0] for option in options),
        "phases.1.losses.real.every",
    }


@pytest.mark.parametrize("precision", ["fp64", "bf16", "fp16"])
def test_precision(precision: str, trained: Folder, resume: Callable) -> None:
    outcome = resume(trained.path, "--accept-changes", f"run.precision={precision}", *CONSTANT)
    assert outcome.code == 0, outcome.err
    wanted = torch.float64 if precision == "fp64" else torch.float32
    assert {tensor.dtype for tensor in trained.weights(16).values()} == {wanted}
    back = resume(trained.path, "--accept-changes", "run.precision=fp32", "run.epochs=10")
    assert back.code == 0, back.err
    assert trained.moved(16, 20) == set(trained.weights(16))


def test_a_larger_batch_goes_on_at_its_place_in_the_data(trained: Folder, resume: Callable) -> None:
    """Six epochs are done: with twice the samples a step, two more are two steps."""
    outcome = resume(trained.path, "--accept-changes", "data.batch_size=8", *CONSTANT)
    assert outcome.code == 0, outcome.err
    assert "step 14/14" in outcome.out
    assert "epoch 8.0/8" in outcome.out
    record = trained.record
    assert (record["total_steps"], record["global_batch"]) == (14, 8)
    back = resume(trained.path, "--accept-changes", "data.batch_size=2", "run.epochs=9")
    assert back.code == 0, back.err
    assert trained.record["total_steps"] == 18  # eight epochs in 14 steps, one more in four
    assert resume(trained.path, "data.batch_size=4", "run.epochs=9").code == 2


def test_after_a_change_of_the_batch_a_stopped_run_is_the_one_that_did_not_stop(
    trained: Folder, resume: Callable
) -> None:
    options = ("--accept-changes", "data.batch_size=2", "run.epochs=8", "run.checkpoint_every=3")
    assert resume(trained.checkpoint(8), *options).code == 0
    straight = Folder(Path("runs/toy/0002"))
    assert straight.record["total_steps"] == 24  # four epochs in 8 steps, four more in 16
    assert resume(straight.checkpoint(15)).code == 0
    again = Folder(Path("runs/toy/0003"))
    assert again.record["total_steps"] == 24
    assert all(again.weights(24)[name].equal(tensor) for name, tensor in straight.weights(24).items())


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("data.size_px=16", "data.size_px"),
        ("players.judge.optimizer.type=adamw", "players.judge.optimizer.type"),
        ("networks.G=toy.judge", "networks.G"),
        ("phases.0.losses.colour=null", "phases.0.losses.colour"),
        ("phases.0.losses.adv.fake=D(G(real_b))", "phases.0.losses.adv.fake"),
        ("signals.fake=G(real_b)", "signals.fake"),
        ("run.seed=3", "run.seed"),
    ],
)
def test_what_never_changes_is_refused_though_it_is_accepted(
    override: str, key: str, trained: Folder, resume: Callable
) -> None:
    before = (trained.path / "run.json").read_text()
    outcome = resume(trained.path, "--accept-changes", override, f"{LR}=1e-4", "run.epochs=8")
    assert outcome.code == 2
    assert key in outcome.err
    assert (trained.path / "run.json").read_text() == before


def test_an_option_that_its_state_does_not_fit_is_refused(trained: Folder, resume: Callable) -> None:
    outcome = resume(trained.path, "--accept-changes", "players.judge.optimizer.amsgrad=true", *CONSTANT)
    assert outcome.code == 2
    assert "the optimizer of player 'judge' cannot go on with another amsgrad" in outcome.err


def test_data_that_became_fewer_are_accepted_only_if_said(trained: Folder, resume: Callable) -> None:
    refused = resume(trained.path, "run.epochs=8", "data.count=12")
    assert refused.code == 2
    assert "data.count: 8 -> 12" in refused.err
    accepted = resume(trained.path, *CONSTANT, "data.count=12", "--accept-changes")
    assert accepted.code == 0, accepted.err
    assert {"step": 12, "key": "samples", "before": 8, "after": 12} in trained.record["changes"]
    assert trained.record["total_steps"] == 18  # six epochs done, and two of three steps


def test_accepting_belongs_to_resuming(trained: Folder, ganforge: Callable) -> None:
    outcome = ganforge("run", "toy.yaml", "-p", "toy.py", "--accept-changes")
    assert (outcome.code, "give --resume, too" in outcome.err) == (2, True)


def test_what_a_bad_loss_advises_works(trained: Folder, ganforge: Callable) -> None:
    plugin = Path("toy.py").read_text()
    bad = plugin.replace("    return (fake - wanted).square().mean()", "    return fake.mean() * float('nan')")
    Path("toy.py").write_text(bad)
    failed = ganforge("run", "toy.yaml", "-p", "toy.py")
    assert failed.code == 4
    Path("toy.py").write_text(plugin)
    (advice,) = re.findall(r"for example: ganforge (run runs/toy/0002 --resume .*--accept-changes .*)", failed.err)
    assert f"{LR}=0.005" in advice
    outcome = ganforge(*shlex.split(advice))
    assert outcome.code == 0, outcome.err


def test_other_pictures_under_the_same_names_are_told(
    picture_folders: Path, ganforge: Callable, trained: Folder
) -> None:
    data = "data={type: unpaired_folders, root: %s, load_px: 8, crop_px: 8, batch_size: 4}"
    shutil.copytree(picture_folders, "one")
    shutil.copytree(picture_folders, "moved/two")
    common = ("-p", "toy.py", "metrics=null")
    assert ganforge("run", "toy.yaml", *common, data % "one", "run.epochs=1").code == 0
    same = ganforge("run", "runs/toy/0002", "--resume", *common, data % "moved/two", "run.epochs=2")
    assert (same.code, same.err) == (0, "")
    shutil.copyfile("one/trainA/1.jpg", "moved/two/trainA/0.jpg")
    other = ganforge("run", "runs/toy/0002", "--resume", *common, "run.epochs=3")
    assert other.code == 0
    assert "goes on with other files than it was trained on: data.files: 14 files (" in other.err
    assert "data.files" in [change["key"] for change in Folder(Path("runs/toy/0002")).record["changes"]]
