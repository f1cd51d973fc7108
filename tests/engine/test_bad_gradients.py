"""A gradient that is NaN under a finite loss is found before it ruins a weight; a run that only skips has failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganforge.errors import TrainingFailed
from ganforge.runs.checkpoint.files import load_checkpoint
from ganforge.training.bad_losses import BadLosses

PLUGIN = """
import torch
from torch import Tensor, nn
from ganforge import hookimpl

class At(nn.Module):
    '''Is bad at some of its calls: in its gradient, or as a whole.'''
    def __init__(self, calls: list[int] = (), since: int = 10_000, loss: bool = False) -> None:
        super().__init__()
        self.calls, self.since, self.loss, self.called = calls, since, loss, 0
    def forward(self, input: Tensor) -> Tensor:
        self.called += 1
        bad = self.called in self.calls or self.called >= self.since
        if bad and self.loss:
            return input.mean() * torch.nan
        return input.square().mean() + ((input * 0).sqrt().mean() if bad else 0)

class Odd(nn.Module):
    '''One weight has a NaN gradient, another one none of any size, another one a sparse one.'''
    def __init__(self, bad: bool = False) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1)
        self.slope = nn.Parameter(torch.zeros(3))
        self.empty = nn.Parameter(torch.zeros(0, 3))
        self.table = nn.Embedding(4, 3, sparse=True)
        self.bad = bad
    def forward(self, x: Tensor) -> Tensor:
        slope = self.slope.abs().sqrt() if self.bad else self.slope
        y = self.body(x) + slope[:, None, None] + self.table(torch.zeros(len(x), dtype=torch.long))[:, :, None, None]
        return y + self.empty.sum()

class Normed(nn.Module):
    '''Is shown NaN at its third call.'''
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.body, self.called = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), 0
    def forward(self, x: Tensor) -> Tensor:
        self.called += self.training
        return self.body(self.norm(x * torch.nan if self.training and self.called == 3 else x))

def steep(input: Tensor) -> Tensor:
    return input.mean() * 1e30

@hookimpl
def register_networks(register):
    register("odd", Odd)
    register("normed", Normed)

@hookimpl
def register_losses(register):
    register("at", At)
    register("steep", steep)
"""
RECIPE = """
data: {type: shapes, size_px: 16, count: 8, validation: 2, batch_size: 2}
networks: {G: {type: cyclegan.resnet_generator, channels: 2, blocks: 0}, O: {type: odd}}
signals: {fake: G(real_a)}
players:
  g: {networks: [G], optimizer: {type: sgd, lr: 0.001}}
  o: {networks: [O], optimizer: {type: sgd, lr: 0.001}}
phases:
  - {train: g, losses: {adv: {type: at, input: fake}}}
  - {train: o, losses: {same: {type: l1, input: O(real_a), target: real_b}}}
run: {steps: 6, checkpoint_every: 1, keep_last: 9, log_every: 1, images: []}
"""


@pytest.fixture
def run_it(in_tmp: Path, ganforge: Callable[..., Any]) -> Callable[..., Any]:
    (in_tmp / "poison.py").write_text(PLUGIN)
    (in_tmp / "r.yaml").write_text(RECIPE)
    return lambda *arguments: ganforge("run", "r.yaml", "-p", "poison.py", *arguments)


def at(**options: Any) -> str:
    return f"phases.0.losses.adv={json.dumps({'type': 'at', 'input': 'fake'} | options)}"


def weights(step: int) -> dict[str, torch.Tensor]:
    return load_checkpoint(Path(f"runs/r/0001/checkpoints/step_{step:07d}")).networks


def finite(step: int) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in weights(step).values())


def moved(step: int) -> bool:
    """Whether the generator learnt something in the step that led here."""
    before, after = weights(step - 1), weights(step)
    return any(not torch.equal(after[name], before[name]) for name in after if name.startswith("G."))


@pytest.mark.parametrize("clip", [(), ("players.g.clip_norm=1.0",)])
def test_it_stops_before_the_step_and_names_the_weights(clip: tuple[str, ...], run_it: Callable[..., Any]) -> None:
    outcome = run_it(at(calls=[3]), *clip)
    assert outcome.code == 4
    told = "error: step 2: gradients of player 'g' are NaN or infinite, though its losses are finite: network 'G' (all "
    assert told in outcome.err
    assert "run.on_bad_loss=skip leaves such phases out" in outcome.err
    assert finite(2)
    assert not Path("runs/r/0001/checkpoints/step_0000003").exists()
    assert run_it("--resume", at(calls=[3]), *clip, "run.steps=4").code == 0  # the loss counts anew: nothing is ruined


def test_of_a_network_only_the_bad_weights_are_named(run_it: Callable[..., Any]) -> None:
    outcome = run_it("networks.O.bad=true")
    assert outcome.code == 4
    assert "step 0: gradients of player 'o' are NaN or infinite, though its losses are finite: 'O' (slope)\n" in (
        outcome.err
    )


@pytest.mark.parametrize("clip", [(), ("players.g.clip_norm=1.0",)])
def test_skipping_leaves_such_a_phase_out_and_goes_on(clip: tuple[str, ...], run_it: Callable[..., Any]) -> None:
    outcome = run_it(at(calls=[3]), "run.on_bad_loss=skip", *clip)
    assert outcome.code == 0, outcome.err
    assert [moved(step) for step in (2, 3, 4)] == [True, False, True]
    assert finite(6)
    saved = load_checkpoint(Path("runs/r/0001/checkpoints/step_0000006")).training["trainer"]["skipped"]
    assert saved == {"skipped": 1, "in_a_row": {"g": 0, "o": 0}, "learnt": {"g": 5, "o": 5}}


def test_one_bad_micro_batch_leaves_the_whole_phase_out(run_it: Callable[..., Any]) -> None:
    outcome = run_it(at(calls=[5]), "run.on_bad_loss=skip", "run.accumulate=2")
    assert outcome.code == 0, outcome.err
    assert [moved(step) for step in (2, 3, 4)] == [True, False, True]


def test_running_statistics_are_not_ruined_by_what_is_skipped(run_it: Callable[..., Any]) -> None:
    outcome = run_it("networks.G={type: normed}", "run.on_bad_loss=skip", "data.batch_size=2")
    assert outcome.code == 0, outcome.err
    assert [moved(step) for step in (2, 4)] == [True, True]
    assert finite(6)


def test_large_gradients_are_no_bad_ones(run_it: Callable[..., Any]) -> None:
    """The sum of their squares is not finite."""
    outcome = run_it("phases.0.losses.adv={type: steep, input: fake}", "players.g.optimizer.lr=1e-30")
    assert outcome.code == 0, outcome.err


# Nothing but skipping


@pytest.mark.parametrize("loss", [True, False])
def test_a_run_that_skips_everything_has_failed(loss: bool, run_it: Callable[..., Any]) -> None:
    outcome = run_it(at(since=1, loss=loss), "run.on_bad_loss=skip")
    assert outcome.code == 4
    assert (
        "error: step 6: player 'g' has learnt nothing since the run began: its last 6 phases were left" in outcome.err
    )
    assert "run.on_bad_loss=stop ends the run at the first one" in outcome.err
    assert json.loads(Path("runs/r/0001/run.json").read_text())["status"] == "failed"
    assert finite(6)
    again = run_it("--resume", "run.on_bad_loss=skip", at(since=1, loss=loss))
    assert again.code == 4
    assert "since the run began: its last 6 phases" in again.err


def test_so_has_one_that_skips_to_its_end(run_it: Callable[..., Any]) -> None:
    outcome = run_it(at(since=4), "run.on_bad_loss=skip")
    assert outcome.code == 4
    assert "player 'g' has learnt nothing since step 2: its last 3 phases were left out" in outcome.err
    assert finite(6)


def test_one_that_skips_its_last_phase_only_has_not(run_it: Callable[..., Any]) -> None:
    assert run_it(at(since=6), "run.on_bad_loss=skip").code == 0


def test_it_gives_up_in_the_midst(run_it: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganforge.training.bad_losses.HOPELESS", 4)
    outcome = run_it(at(since=1), "run.on_bad_loss=skip", "run.steps=60")
    assert outcome.code == 4
    assert "error: step 3: player 'g' has learnt nothing since the run began: its last 4 phases" in outcome.err


def test_fp16_that_overflows_in_every_step_has_failed(run_it: Callable[..., Any]) -> None:
    half = ("run.precision=fp16", "run.log_every=3")
    outcome = run_it(at(since=1), *half)
    assert outcome.code == 4
    assert "player 'g' has learnt nothing since the run began: its last 6 phases were left out" in outcome.err
    assert run_it(at(calls=[2, 3]), *half).code == 0


# As on a GPU: noted at each step, looked at seldom


def test_what_came_first_is_told(read: Callable[..., Any]) -> None:
    watch = BadLosses(read(TOY.read_text()), torch.device("cpu"))
    watch.eager = False
    names, nan = ("G.a", "G.b", "F.c"), float("nan")
    assert watch.note("g", ["adv"], torch.tensor([1.0]), 1)
    assert watch.note_gradients("g", names, torch.tensor([1.0, 2.0, 0.0]), 1)
    watch.check()
    assert watch.note_gradients("g", names, torch.tensor([1.0, nan, float("inf")]), 2)
    assert watch.note("d", ["judge"], torch.tensor([nan]), 2)  # follows from it
    assert watch.note("g", ["adv"], torch.tensor([nan]), 3)
    with pytest.raises(TrainingFailed, match=r"^step 2: gradients of player 'g' .*: 'G' \(b\), 'F' \(c\)\n"):
        watch.check()


TOY = Path(__file__).parent / "toy_cyclegan.yaml"
