"""Steps that are looked into tell more, and are the same steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganforge import Callback, Run
from ganforge.runs.run import Run as EngineRun

RECIPE = """
data: {type: fields, batch_size: 2, shapes: {x: [3, 16, 16], y: [3, 16, 16]}}
networks: {G: {type: translator}, D: {type: toys.critic}}
ops: {past: {type: cyclegan.replay_buffer, size: 2}}
signals: {fake: G(x)}
players:
  g: {networks: [G], optimizer: {type: sgd, lr: 1e-2}}
  d: {networks: [D], optimizer: {type: sgd, lr: 1e-2}}
phases:
  - train: g
    losses:
      adv: {type: lsgan_g, fake: D(fake)}
      pixels: {type: l1, input: fake, target: y, weight: 10}
  - train: d
    losses: {judge: {type: lsgan_d, real: D(y), fake: D(past(fake))}}
run: {steps: 100, precision: fp64, device: cpu}
"""


def norm(loss: Tensor, network: nn.Module) -> Tensor:
    gradients = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


def test_shares_accuracy_and_verdicts_are_those_of_a_plain_loop(bench: Callable[..., Any], images: Callable) -> None:
    told = bench(RECIPE)
    (batch,) = images("x", "y", count=1)
    G, D = told.networks["G"], told.networks["D"]
    fake = G(batch["x"])
    adversarial, pixels = norm((D(fake) - 1).square().mean(), G), norm(10 * (fake - batch["y"]).abs().mean(), G)
    real_verdict, fake_verdict = D(batch["y"]).detach(), D(fake).detach()

    told.trainer.step([batch], examine=True)
    scalars, shown = told.trainer.statistics.read(), told.trainer.learner.distributions
    assert scalars["shares/g/adv"] == pytest.approx(float(adversarial / (adversarial + pixels)), rel=1e-12)
    assert scalars["shares/g/adv"] + scalars["shares/g/pixels"] == pytest.approx(1, rel=1e-12)
    assert not [tag for tag in scalars if tag.startswith("shares/d/")]  # one loss alone has no share
    assert scalars["accuracy/D/real"] == float((real_verdict > 0.5).double().mean())
    assert scalars["accuracy/D/fake"] == float((fake_verdict < 0.5).double().mean())
    assert scalars["accuracy/D/pooled"] == scalars["accuracy/D/fake"]  # the buffer has nothing older yet
    assert set(shown) == {"logits/D/real", "logits/D/fake", "logits/D/pooled"}
    assert torch.allclose(shown["logits/D/real"], real_verdict.flatten())


def test_an_examined_step_is_the_same_step(bench: Callable[..., Any], images: Callable) -> None:
    plain, looked_into = bench(RECIPE), bench(RECIPE)
    for batch in images("x", "y", count=4):
        plain.trainer.step([batch])
        looked_into.trainer.step([batch], examine=True)
    for name, network in plain.networks.items():
        for ours, theirs in zip(network.parameters(), looked_into.networks[name].parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_fresh_and_replayed_fakes_are_told_apart(bench: Callable[..., Any], images: Callable) -> None:
    told = bench(RECIPE)
    for batch in images("x", "y", count=5):
        told.trainer.step([batch], log=True)
    scalars = told.trainer.statistics.read()
    assert {tag for tag in scalars if tag.startswith("scores/")} == {
        f"scores/D/{kind}" for kind in ("real", "fake", "pooled")
    }
    assert scalars["scores/D/fake"] != scalars["scores/D/pooled"]
    assert {tag for tag in scalars if tag.startswith("ops/")} == {
        f"ops/past/{k}" for k in ("kept", "mean_age", "longest_age")
    }


class Listener(Callback):
    def __init__(self) -> None:
        self.heard: dict[int, Mapping[str, Tensor]] = {}

    def distributions_read(self, run: Run, distributions: Mapping[str, Tensor]) -> None:
        self.heard[run.step] = distributions


def test_callbacks_hear_of_verdicts_when_panels_are_due(start: Callable[..., EngineRun]) -> None:
    run, listener = start("run.images_every=5"), Listener()
    run.callbacks.append(listener)
    run.train()
    assert list(listener.heard) == [1, 5, 10, 12]
    assert all(values.device.type == "cpu" and values.ndim == 1 for values in listener.heard[5].values())
    assert {"logits/D_a/real", "logits/D_a/fake", "logits/D_a/pooled"} < set(listener.heard[5])
