"""A run that is made longer learns on, or says that it would not, and how it would."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from runfolder import Folder

TINY = Path(__file__).resolve().parents[2] / "recipes" / "tiny"
SHARES = "{type: linear_decay, hold: 50%, decay: 50%, per: step}"


def offered(err: str) -> list[str]:
    """The words that a warning offers to be pasted."""
    return shlex.split(re.findall(r"this mends it: (.+)", err)[0])


def test_a_run_longer_than_its_schedule_says_so_and_what_it_offers_works(
    trained: Folder, resume: Callable, ganforge: Callable
) -> None:
    outcome = resume(trained.path, "run.epochs=12")
    assert outcome.code == 0
    told = "the learning rate of players 'generator' and 'judge' is 0 from step 12 of 24 (epoch 7 of 12) on"
    assert re.search(rf"warning: runs/toy/0001/recipe.yaml:\d+:\d+: {re.escape(told)}", outcome.err)
    assert trained.moved(12, 24) == set()
    # As offered, from the step that was good.
    words = offered(outcome.err)
    assert words[:6] == ["ganforge", "run", "runs/toy/0001", "--resume", "-p", "toy.py"]
    assert words[6:] == [
        "--accept-changes",
        "players.generator.schedule.decay_epochs=9",
        "players.judge.schedule.decay_epochs=9",
    ]
    again = resume(trained.checkpoint(12), "run.epochs=12", *words[6:])
    assert again.code == 0, again.err
    assert "learning rate" not in again.err
    assert Folder(Path("runs/toy/0002")).moved(12, 24) == set(trained.weights(12))


def test_a_schedule_of_shares_stretches_with_the_run(ganforge: Callable, in_tmp: Path) -> None:
    recipe = TINY / "cyclegan_shapes.yaml"
    quick = "run.images_every=100"
    start = ganforge("run", recipe, "run.steps=null", "run.epochs=6", "run.checkpoint_every=8", quick)
    assert (start.code, start.err) == (0, "")
    run = Folder(in_tmp / "runs/cyclegan_shapes/0001")
    longer = ganforge("run", run.path, "--resume", "run.epochs=12", "run.keep_last=9")
    assert (longer.code, longer.err) == (0, "")
    assert run.moved(24, 48) == set(run.weights(24))
    rates = run.rates("generators")
    assert rates[22] < rates[26] == max(rates.values())  # 24 was the end, and is the middle now


def test_a_fresh_run_longer_than_its_schedule_is_told_when_it_is_checked_and_when_it_runs(
    trained: Folder, ganforge: Callable
) -> None:
    for command in (("check",), ("run", "--dry-run"), ("run",)):
        outcome = ganforge(*command, "toy.yaml", "-p", "toy.py", "run.epochs=8")
        assert outcome.code == 0
        assert (
            "toy.yaml:11:29: the learning rate of players 'generator' and 'judge' is 0 from step 12 of 1" in outcome.err
        )
        overrides = offered(outcome.err)
        assert overrides == ["players.generator.schedule.decay_epochs=5", "players.judge.schedule.decay_epochs=5"]
        assert ganforge("check", "toy.yaml", "-p", "toy.py", "run.epochs=8", *overrides).err == ""


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ((f"players.generator.schedule={SHARES}", f"players.judge.schedule={SHARES}", "run.epochs=60"), ""),
        (("players.judge.optimizer.lr=0",), "command line:1:28: the learning rate of player 'judge' is 0 all the time"),
        (("players.judge.optimizer.lr={type: ramp, start: 1, end: 0, over: 50%}",), "is 0 from step 6 of 12"),
        (("players.judge.schedule={type: warmup, steps: 100}",), ""),
        (("players.judge.schedule={type: glide, start: 0, end: 1, steps: 2, begin_step: 5}",), "0 from step 0 of 12"),
        (("players.judge.schedule={type: linear_decay, hold_epochs: 3, decay_epochs: 3}",), ""),  # as in the paper
        (("players.judge.schedule={type: linear_decay, hold_epochs: 3, decay_epochs: 2}",), "from step 8 of 12"),
        (("phases.0.losses.colour.weight={type: constant, factor: 0}",), "the weight of the loss 'colour' is 0"),
        (("players.judge.ema.decay={type: ramp, start: 0, end: 1, over: 50%}",), "of player 'judge' is 1 at step 6"),
    ],
)
def test_what_would_learn_nothing_is_told_and_nothing_else(
    overrides: tuple[str, ...], told: str, trained: Folder, ganforge: Callable
) -> None:
    outcome = ganforge("check", "toy.yaml", "-p", "toy.py", *overrides)
    assert outcome.code == 0, outcome.err
    assert told in outcome.err
    assert bool(told) == bool(outcome.err)


def test_a_paper_ends_as_it_says_and_a_longer_run_is_told_without_the_data(ganforge: Callable) -> None:
    assert ganforge("check", "pix2pix_facades").err == ""
    assert "from epoch 200 of 201 on" in ganforge("check", "pix2pix_facades", "run.epochs=201").err
    by_steps = ("run.epochs=null", "run.steps=1000")  # how long an epoch is, only data can say
    assert ganforge("check", "pix2pix_facades", *by_steps).err == ""


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("1 / (7 - progress.step)", "fails at step 7 of 12: Zero"),
        ("1e308 * 10 ** progress.step", "fails at step 1 of 12: it gives inf, not a finite"),
    ],
)
def test_a_schedule_that_fails_later_is_told_before_the_first_step(
    value: str, told: str, trained: Folder, ganforge: Callable
) -> None:
    Path("late.py").write_text(
        "from ganforge import Progress, hookimpl\n"
        f"def late(progress: Progress) -> float:\n    return {value}\n"
        "@hookimpl\ndef register_schedules(register):\n    register('late', late)\n"
    )
    outcome = ganforge("run", "toy.yaml", "-p", "toy.py", "-p", "late.py", "players.judge.schedule=late")
    assert outcome.code == 2
    assert f"command line:1:24: late {told}" in outcome.err
