"""What could cost a person's work: a stop at a bad moment, ruined weights, a state not saved, a broken picture."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
import torch
from PIL import Image

from ganforge import Callback
from ganforge.api.context import Progress
from ganforge.errors import RecipeError, UsageError
from ganforge.plugins.loading import load_plugins
from ganforge.runs.checkpoint.files import checkpoints, load_checkpoint
from ganforge.runs.run import Run

ROOT = Path(__file__).resolve().parents[2]
SHAPES = "data: {type: shapes, size_px: 32, count: 4, validation: 2}"
GAN = """
networks:
  G: {type: cyclegan.resnet_generator, channels: 2, blocks: 0}
  D: {type: cyclegan.pixel_discriminator, channels: 2}
signals: {fake: %s}
players:
  g: {networks: [G], optimizer: {type: sgd, lr: 0.001}}
  d: {networks: [D], optimizer: {type: sgd, lr: 0.001}}
phases:
  - {train: g, losses: {adv: {type: %s, fake: D(fake)}}}
  - {train: d, losses: {judge: {type: lsgan_d, real: D(real_b), fake: D(fake)}}}
run: {steps: 4, checkpoint_every: 1, log_every: 1, images: [fake]}
"""
PLUGIN = """
import torch
from torch import Tensor, nn
from ganforge import Context, Register, hookimpl

def poison(fake: Tensor) -> Tensor:
    return (fake * 0).sqrt().mean()

class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
    def forward(self, fake: Tensor) -> Tensor:
        self.calls += 1
        return fake.mean() * self.calls

def sometimes(x: Tensor) -> Tensor:
    return x.flip(-1) if torch.rand(()) < 0.5 else x

def dust(x: Tensor, *, context: Context) -> Tensor:
    return x + torch.randn(x.shape, device=context.device)

@hookimpl
def register_losses(register: Register) -> None:
    register("poison", poison)
    register("counting", Counting)

@hookimpl
def register_ops(register: Register) -> None:
    register("sometimes", sometimes)
    register("dust", dust)
"""


@pytest.fixture
def run_it(in_tmp: Path, ganforge: Callable) -> Callable:
    (in_tmp / "odd.py").write_text(PLUGIN)

    def run(signal_text: str = "G(real_a)", loss: str = "lsgan_g", *arguments: str) -> object:
        (in_tmp / "r.yaml").write_text(SHAPES + GAN % (signal_text, loss))
        return ganforge("run", "r.yaml", "-p", "odd.py", *arguments)

    return run


def test_a_stop_while_a_panel_is_drawn_is_saved(start: Callable[..., Run]) -> None:
    class Stop(Callback):
        def images_drawn(self, run: Run, panel: torch.Tensor) -> None:
            if run.step == 2:
                signal.raise_signal(signal.SIGTERM)

    run = start("run.images=[fake_b]", "run.images_every=2", "run.checkpoint_every=1000")
    run.callbacks.append(Stop())
    assert run.train() == "interrupted"
    assert [path.name for path in checkpoints(run.folder / "checkpoints")] == ["step_0000002"]


def test_ruined_weights_push_no_good_checkpoint_out(run_it: Callable, in_tmp: Path) -> None:
    """The gradient of sqrt at 0 is infinite, and times 0 it is NaN; the loss itself is 0."""
    outcome = run_it("G(real_a)", "poison")
    assert outcome.code == 4
    assert "gradients of player 'g' are NaN or infinite, though its losses are finite" in outcome.err
    assert checkpoints(in_tmp / "runs/r/0001/checkpoints") == []
    outcome = run_it("G(real_a)", "lsgan_g", "players.g.optimizer.lr=1e38", "run.log_every=9")
    assert outcome.code == 4
    assert "weights of the network 'G' are NaN or infinite: nothing was saved" in outcome.err
    assert checkpoints(in_tmp / "runs/r/0001/checkpoints") == []


def test_the_state_of_a_loss_is_resumed(run_it: Callable, in_tmp: Path) -> None:
    assert run_it("G(real_a)", "counting", "run.steps=2").code == 0
    assert run_it("G(real_a)", "counting", "--resume", "run.steps=5").code == 0
    saved = load_checkpoint(in_tmp / "runs/r/0001/checkpoints/step_0000005")
    assert float(saved.training["trainer"]["losses"]["g/adv"]["calls"]) == 5


def test_a_new_length_holds_for_the_next_resume(run_it: Callable, in_tmp: Path) -> None:
    assert run_it("G(real_a)", "lsgan_g", "run.steps=2").code == 0
    assert run_it("G(real_a)", "lsgan_g", "--resume", "run.steps=6").code == 0
    assert "steps: 6" in (in_tmp / "runs/r/0001/recipe.yaml").read_text()
    assert json.loads((in_tmp / "runs/r/0001/run.json").read_text())["step"] == 6


def test_an_op_that_looks_at_values_is_allowed_and_said_to_be_unchecked(run_it: Callable) -> None:
    outcome = run_it("sometimes(G(real_a))")
    assert outcome.code == 0, outcome.err
    checked = run_it("sometimes(G(real_a))", "lsgan_g", "--dry-run")
    assert "note: 'sometimes(G(real_a))' looks at values" in checked.out


def test_panels_of_noise_are_the_same_each_time(run_it: Callable, in_tmp: Path) -> None:
    still = ("players.g.optimizer.lr=0.0", "run.images_every=1")
    assert run_it("dust(G(real_a))", "lsgan_g", *still).code == 0
    panels = [path.read_bytes() for path in sorted((in_tmp / "runs/r/0001/images/panel").iterdir())]
    assert len(panels) == 5
    assert len(set(panels)) == 1


def test_a_state_that_cannot_be_saved_is_told_before_the_first_step(start: Callable[..., Run]) -> None:
    run = start()
    run.trainer.cast.ops["past_b"].state_dict = lambda: {"kept": object()}
    with pytest.raises(RecipeError, match=r"op 'past_b' cannot be saved: kept: a state may hold tensors"):
        run.train()
    assert run.step == 0


def test_whole_run_schedules_learn_from_the_first_to_the_last_step() -> None:
    registry = load_plugins().registry
    for name in ("cosine", "polynomial"):
        schedule = registry.find("schedules", name).factory
        factors = [schedule(Progress(step, 100, 100)) for step in range(100)]
        assert factors[0] == 1
        assert min(factors) > 0
        assert factors == sorted(factors, reverse=True)


def test_a_broken_picture_in_a_worker_ends_the_run_with_its_name(picture_folders: Path, tmp_path: Path) -> None:
    for folder in picture_folders.iterdir():
        (tmp_path / "data" / folder.name).mkdir(parents=True)
        for picture in folder.iterdir():
            Image.open(picture).save(tmp_path / "data" / folder.name / picture.name)
    (tmp_path / "data/trainA/3.jpg").write_bytes(b"broken")
    twin = ROOT / "recipes/tiny/cyclegan_horse2zebra.yaml"
    command = [sys.executable, "-m", "ganforge", "run", twin, f"data.root={tmp_path / 'data'}", "data.workers=1"]
    done = forked.run([*command, "run.steps=20"], cwd=tmp_path)
    assert done.returncode == 3
    assert "3.jpg" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_resume_notices_that_the_data_has_changed(start: Callable[..., Run]) -> None:
    start("data.count=6", "run.steps=2").train()
    with pytest.raises(UsageError, match="was started with 6 training samples, now there are 8"):
        start("data.count=8", "run.steps=4")
