"""The engine under CycleGAN recipes takes the very steps of the public reference, in float64."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from ganforge.api.context import Progress
from ganforge.errors import Source
from ganforge.plugins.loading import load_plugins
from ganforge.ranks.device import Precision
from ganforge.recipe.nodes import parse
from ganforge.recipe.reading import read_recipe
from ganforge.step.cast import build_cast
from ganforge.training.trainer import Trainer

# The reference's netG_A maps A to B; its netD_A judges B.
NETWORKS = {"G_ab": "G_A", "G_ba": "G_B", "D_b": "D_A", "D_a": "D_B"}
LOSSES = {
    "adv_ab": ("G_A", 1),
    "adv_ba": ("G_B", 1),
    "cycle_a": ("cycle_A", 10),
    "cycle_b": ("cycle_B", 10),
    "identity_b": ("idt_A", 5),
    "identity_a": ("idt_B", 5),
    "judge_b": ("D_A", 0.5),
    "judge_a": ("D_B", 0.5),
}
IDENTITY = """
      identity_b: {type: l1, input: same_b, target: real_b, weight: 5}
      identity_a: {type: l1, input: same_a, target: real_a, weight: 5}
"""
RECIPE = """
data: {{type: shapes, size_px: {size_px}}}
networks:
  G_ab: &G {generator}
  G_ba: *G
  D_a: &D {{type: cyclegan.patch_discriminator, channels: 8}}
  D_b: *D
ops:
  past_a: &P {{type: cyclegan.replay_buffer, size: 2}}
  past_b: *P
signals:
  fake_b: G_ab(real_a)
  rec_a: G_ba(fake_b)
  fake_a: G_ba(real_b)
  rec_b: G_ab(fake_a)
  same_b: G_ab(real_b)
  same_a: G_ba(real_a)
players:
  generators: {{networks: [G_ab, G_ba], optimizer: &adam {{type: adam, lr: 2e-4, betas: [0.5, 0.999]}}}}
  discriminators: {{networks: [D_b, D_a], optimizer: *adam}}
phases:
  - train: generators
    losses:
      adv_ab: {{type: {formula}_g, fake: D_b(fake_b)}}
      adv_ba: {{type: {formula}_g, fake: D_a(fake_a)}}
      cycle_a: {{type: l1, input: rec_a, target: real_a, weight: 10}}
      cycle_b: {{type: l1, input: rec_b, target: real_b, weight: 10}}{identity}
  - train: discriminators
    losses:
      judge_b: {{type: {formula}_d, real: D_b(real_b), fake: D_b(past_b(fake_b)), weight: 0.5}}
      judge_a: {{type: {formula}_d, real: D_a(real_a), fake: D_a(past_a(fake_a)), weight: 0.5}}
run: {{steps: 10, precision: fp64, device: cpu}}
"""
FAMILIES = {
    "lsgan": RECIPE.format(
        size_px=32,
        generator="{type: cyclegan.resnet_generator, channels: 8, blocks: 6}",
        formula="lsgan",
        identity=IDENTITY.rstrip(),
    ),
    "vanilla": RECIPE.format(
        size_px=128,
        generator="{type: cyclegan.unet_generator, channels: 8, downs: 7}",
        formula="vanilla",
        identity="",
    ),
}


def trainer_of(text: str, recording: Any) -> Trainer:
    recipe = read_recipe(parse(Source("test.yaml", text)), load_plugins().registry, "test")
    precision = Precision("fp64", torch.device("cpu"))
    cast = build_cast(recipe, precision.place)
    for ours, theirs in NETWORKS.items():
        cast.networks[ours].load_state_dict(recording.weights("init", theirs))
    return Trainer(recipe, cast, precision, Progress(0, 1000, 1000))


def drawing_as_the_reference(trainer: Trainer, recording: Any) -> None:
    """Both buffers draw from one generator; the reference asks B's first."""
    rng = random.Random(0)
    for name in ("past_a", "past_b"):
        trainer.cast.ops[name]._rng = rng  # type: ignore[attr-defined]


def fed_the_recorded_fakes(trainer: Trainer, recording: Any) -> None:
    def fed(pool: Tensor) -> Any:
        shown = iter(pool)
        return lambda fake: next(shown)

    trainer.cast.ops.update({"past_a": fed(recording["pool.A"]), "past_b": fed(recording["pool.B"])})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("replay", [drawing_as_the_reference, fed_the_recorded_fakes])
def test_every_loss_and_every_weight_is_the_references(
    family: str, replay: Any, request: pytest.FixtureRequest
) -> None:
    recording = request.getfixturevalue(family)
    trainer = trainer_of(FAMILIES[family], recording)
    replay(trainer, recording)
    for step, (real_a, real_b) in enumerate(zip(recording["input.A"], recording["input.B"], strict=True)):
        trainer.step([{"real_a": real_a, "real_b": real_b}])
        logged = trainer.statistics.read()
        for name, (theirs, weight) in LOSSES.items():
            if f"losses/{name}" in logged:
                expected = float(recording[f"loss.{theirs}"][step])
                assert logged[f"losses/{name}"] * weight == pytest.approx(expected, rel=0, abs=1e-9), (step, name)
    for ours, theirs in NETWORKS.items():
        final = recording.weights("final", theirs)
        state = trainer.cast.networks[ours].state_dict()
        assert state.keys() == final.keys()
        for name, value in state.items():
            # A bias before an instance norm has no gradient but rounding, which Adam amplifies.
            tolerance = 1e-6 if name.endswith("bias") else 1e-9
            torch.testing.assert_close(value, final[name], rtol=0, atol=tolerance)
