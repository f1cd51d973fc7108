"""What goes wrong in training is told with its loss, its player and its step."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganforge import cli
from ganforge.commands._start import train
from ganforge.errors import EnvironmentFault, TrainingFailed
from ganforge.runs.run import Run
from ganforge.training.bad_losses import BadLosses

HERE = Path(__file__).parent
BAD = "phases.1.losses.bad={{type: bad_at, input: D_a(real_a), calls: ticks(), value: {value}, call: 3}}"


def loss(kind: str) -> str:
    return f"phases.1.losses.broken={{type: toys.{kind}, input: D_a(real_a)}}"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("detached", "returned a value without a graph: nothing could learn from it"),
        ("no_scalar", "returned a tensor of shape [2, 1, 4, 4]"),
        ("number", "returned a float"),
    ],
)
def test_a_loss_that_is_none(
    kind: str, message: str, start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganforge.runs.set_up.planned", lambda recipe: _no_plan())
    with pytest.raises(TrainingFailed) as failure:
        start(loss(kind)).train()
    assert str(failure.value).startswith(
        f"step 0: the loss 'broken' (toys.{kind}) of player 'discriminators' {message}"
    )
    assert failure.value.exit_code == 4


def _no_plan() -> Any:
    from ganforge.rehearsal.dry_run import DryRun

    return DryRun({}, {}, {}, {})


def test_a_part_that_raises(start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganforge.runs.set_up.planned", lambda recipe: _no_plan())
    run = start(loss("refusing"))
    with pytest.raises(TrainingFailed) as failure:
        run.train()
    first, raised, whose, *_, cure, record = str(failure.value).splitlines()
    assert first == (
        "step 0: the loss 'broken' of player 'discriminators' cannot be computed: ZeroDivisionError: by design"
    )
    assert re.fullmatch(rf"  raised at {re.escape(str(HERE / 'toys.py'))}:\d+ in refusing", raised)
    assert whose.startswith(f"  toys.refusing is of the plugin 'toys' ({HERE / 'toys.py'}), used at ")
    assert cure == "  mend it there; ganforge.testing.check_loss tries it alone"
    assert record == f"  the whole traceback is in {run.folder / 'run.json'}"
    assert "ZeroDivisionError" in run.record["traceback"]
    assert run.record["status"] == "failed"
    assert run.callbacks[0].ended == "failed"


@pytest.mark.parametrize(
    ("images", "told"),
    [("[]", "the loss 'adv_ab' of player 'generators' .*"), ("[fake_b]", "'fake_b' cannot be drawn: .*")],
)
def test_a_network_that_raises_is_told_by_its_own_line(start: Callable[..., Run], images: str, told: str) -> None:
    run = start(f"run.images={images}")

    def fail(*_: Any) -> None:
        torch.zeros(2, 3) @ torch.zeros(2, 3)

    run.trainer.cast.networks["G_ab"].last.register_forward_pre_hook(fail)
    with pytest.raises(TrainingFailed, match=rf"step 0: {told}\n  raised at .*test_"):
        run.train()


def test_a_disk_or_file_that_fails_is_the_machines_fault(start: Callable[..., Run]) -> None:
    run = start()

    def unreadable(*_: Any) -> Any:
        raise OSError(5, "Input/output error", "horse.jpg")

    run.loader.samples.sample = unreadable
    with pytest.raises(EnvironmentFault, match=r"step 0: OSError: .*Input/output error: 'horse.jpg'"):
        run.train()


def test_no_memory_left_says_what_to_lower(start: Callable[..., Run]) -> None:
    run = start()

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("tried to allocate 20 GiB")

    run.trainer.cast.networks["G_ab"].register_forward_pre_hook(full)
    with pytest.raises(TrainingFailed, match=r"step 0: the device ran out of memory\n  lower data.batch_size"):
        run.train()


@pytest.mark.parametrize(("value", "told"), [(".nan", "nan"), (".inf", "-?inf")])
def test_a_loss_that_is_not_finite_stops_before_the_step(value: str, told: str, start: Callable[..., Run]) -> None:
    run = start("ops.ticks={type: count}", BAD.format(value=value))
    with pytest.raises(TrainingFailed, match=f"^step 2: the loss 'bad' of player 'discriminators' is {told}\n"):
        run.train()
    assert all(bool(p.isfinite().all()) for p in run.trainer.cast.networks.parameters())


def test_skipping_leaves_the_phase_out_counts_it_and_goes_on(start: Callable[..., Run]) -> None:
    run = start("ops.ticks={type: count}", BAD.format(value=".nan"), "run.on_bad_loss=skip", "run.log_every=4")
    seen: list[torch.Tensor] = []
    D_a = run.trainer.cast.networks["D_a"]
    run.callbacks[0].step_ended = lambda run: seen.append(D_a.first.weight.detach().clone())
    assert run.train() == "finished"
    assert torch.equal(seen[1], seen[2])  # the third step
    assert not torch.equal(seen[2], seen[3])
    scalars = run.callbacks[0].scalars
    assert [scalars[step]["losses/skipped_phases"] for step in (4, 8, 12)] == [1, 1, 1]
    assert all(value == value for logged in scalars.values() for value in logged.values())


def test_a_device_that_is_not_waited_for_tells_the_first_bad_step(read: Callable[..., Any]) -> None:
    """As on a GPU: noted at each step, looked at seldom."""
    recipe = read((HERE / "toy_cyclegan.yaml").read_text())
    watch = BadLosses(recipe, torch.device("cpu"))
    watch.eager = False
    nan = float("nan")
    assert watch.note("discriminators", ["judge", "r/1"], torch.tensor([1.0, 1.0]), 1)
    watch.check()
    assert watch.note("generators", ["adv"], torch.tensor([1.0]), 2)
    assert watch.note("discriminators", ["judge", "r/1"], torch.tensor([1.0, nan]), 2)
    assert watch.note("generators", ["adv"], torch.tensor([nan]), 3)
    assert watch.note("discriminators", ["judge"], torch.tensor([nan]), 3)
    with pytest.raises(TrainingFailed, match=r"^step 2: the loss 'r/1' of player 'discriminators' is NaN or infinite"):
        watch.check()


TWICE = """
data: {type: shapes, size_px: 16, count: 4, batch_size: 2}
networks: {M: {type: toys.mapping}, S: {type: toys.synthesis}}
signals: {w: M(noise(8)), fake: S(w)}
players: {g: {networks: [M, S], optimizer: {type: adam, lr: 1e-2}}}
phases:
  - train: g
    losses: {twice: {type: toys.undeclared, images: fake, latents: w}}
callbacks: {progress: null, tensorboard: null, panels: null}
run: {steps: 2, device: cpu, compile: true}
"""


def test_compiled_networks_and_a_loss_that_does_not_say_that_it_differentiates(
    start: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "twice.yaml").write_text(TWICE)
    with pytest.raises(TrainingFailed, match=r"differentiates twice through a compiled network\n.*@traits\(wrt="):
        start(recipe=tmp_path / "twice.yaml").train()
    assert start("run.compile=false", recipe=tmp_path / "twice.yaml", folder="other").train() == "finished"


# Stopping


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_asked_to_stop_it_finishes_the_step_saves_and_can_go_on(number: int, code: int, tmp_path: Path) -> None:
    command = ["run", str(HERE / "toy_cyclegan.yaml"), "-p", str(HERE / "toys.py"), "--out", str(tmp_path)]
    stop = f"callbacks.stop={{type: toys.stop_at, step: 7, number: {number}}}"
    assert code_of([*command, stop]) == code
    folder = tmp_path / "toy_cyclegan" / "0001"
    assert (folder / "checkpoints/step_0000007/manifest.json").is_file()
    assert code_of([*command, "--resume"]) == 0
    assert [path.name for path in (tmp_path / "toy_cyclegan").iterdir()] == ["0001"]
    assert (folder / "checkpoints/step_0000012/manifest.json").is_file()
    assert '"status": "finished"' in (folder / "run.json").read_text()


def test_the_command_ends_with_4_where_training_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", str(HERE / "toy_cyclegan.yaml"), "-p", str(HERE / "toys.py"), "--out", str(tmp_path)]
    assert code_of([*command, "ops.ticks={type: count}", BAD.format(value=".nan")]) == 4
    told = capsys.readouterr().err
    assert "error: step 2: the loss 'bad' of player 'discriminators' is nan" in told
    assert "Traceback" not in told


def test_asked_twice_it_stops_at_once(start: Callable[..., Run]) -> None:
    run = start("callbacks.stop={type: toys.stop_at, step: 7, times: 2}")
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert run.record["status"] == "interrupted"
    assert run.callbacks[0].ended == "interrupted"
    assert start().resumed_at == 4


def test_a_scheduler_s_signal_after_ctrl_c_does_not_hurry_it(start: Callable[..., Run]) -> None:
    asked = (f"callbacks.{name}={{type: toys.stop_at, step: 7, number: {n}}}" for name, n in (("one", 2), ("two", 15)))
    run = start(*asked)
    assert run.train() == "interrupted"
    assert run.stopping.signal == 15
    assert start().resumed_at == 7


def test_asked_in_the_last_step_it_has_finished(start: Callable[..., Run]) -> None:
    run = start("callbacks.stop={type: toys.stop_at, step: 12}")
    train(run)  # and the exit code does not say otherwise
    assert run.record["status"] == "finished"


def code_of(command: list[str]) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(command)
    return int(exit_.value.code or 0)
