"""What a step leaves behind on networks: their gradients' switches, their modes, their frozen parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ganforge.step.cast import build_cast

HERE = Path(__file__).parent
RECIPE = """
data: {type: fields, batch_size: 2, shapes: {x: [3, 16, 16], y: [3, 16, 16]}}
networks:
  G: {type: self_frozen}
  D: {type: toys.critic}
  judge: {type: toys.translator, batch_norm: true, frozen: true}
signals: {fake: G(x)}
players:
  g: {networks: [G], optimizer: {type: adam, lr: 1e-2}}
  d: {networks: [D], optimizer: {type: adam, lr: 1e-2}}
phases:
  - train: g
    losses:
      adv: {type: lsgan_g, fake: D(fake)}
      alike: {type: l1, input: judge(fake), target: judge(y)}
  - train: d
    losses: {judge: {type: lsgan_d, real: D(y), fake: D(fake)}}
run: {steps: 10, precision: fp64, device: cpu, images: [fake]}
"""


def switches(networks: torch.nn.Module) -> dict[str, bool]:
    return {name: p.requires_grad for name, p in networks.named_parameters()}


def test_a_step_leaves_switches_and_modes_as_they_were(bench: Callable[..., Any], images: Callable[..., Any]) -> None:
    ours = bench(RECIPE)
    networks = ours.trainer.cast.networks
    before = switches(networks)
    assert {name for name, on in before.items() if not on} == {
        *(f"G.fixed.{name}" for name in ("weight", "bias")),
        *(name for name in before if name.startswith("judge.")),
    }
    modes = [module.training for module in networks.modules()]
    ours.train(images("x", "y", count=2))
    assert switches(networks) == before
    assert [module.training for module in networks.modules()] == modes
    assert all(p.grad is None for p in networks.parameters())


def test_what_is_frozen_does_not_move_at_all(bench: Callable[..., Any], images: Callable[..., Any]) -> None:
    ours = bench(RECIPE)
    ours.train(images("x", "y", count=2))
    now = ours.trainer.cast.networks.state_dict()
    then = {f"{name}.{k}": v for name, net in ours.networks.items() for k, v in net.state_dict().items()}
    moved = {name for name in now if not torch.equal(now[name], then[name])}
    assert moved == {name for name in now if name.startswith(("G.learns", "D."))}


def test_adding_a_network_changes_no_other_ones_weights(read: Callable[..., Any]) -> None:
    fewer, more = RECIPE, RECIPE.replace("networks:\n", "networks:\n  extra: {type: toys.critic, frozen: true}\n", 1)
    one, other = (build_cast(read(text)).networks for text in (fewer, more))
    assert torch.equal(one["D"].first.weight, other["D"].first.weight)


def test_ops_are_called_once_a_step(start: Callable[..., Any]) -> None:
    run = start(
        "ops.tally={type: tally}",
        "signals.counted=tally(fake_b)",
        "phases.1.losses.judge_b.fake=D_b(counted)",
        "phases.1.losses.r1.logits=D_b(counted)",
        "phases.1.losses.r1.images=counted",
        "phases.0.losses.cycle_a.target=tally(real_a)",
    )
    run.train()
    assert run.trainer.cast.ops["tally"].count == 2 * 12


def test_creating_lazy_parameters_leaves_ops_as_they_were(bench: Callable[..., Any]) -> None:
    ours = bench(
        """
data: {type: fields, batch_size: 2, shapes: {x: [3, 16, 16]}}
networks: {G: {type: toys.encoder}, F: {type: toys.patch_sampler}}
ops: {past: {type: tally}}
signals: {features: G.encode(past(x))}
players: {g: {networks: [G, F], optimizer: {type: adam, lr: 1e-2}}}
phases: [{train: g, losses: {nce: {type: toys.patch_nce, query: F(features), key: F(features)}}}]
run: {steps: 10, device: cpu}
"""
    )
    assert ours.trainer.cast.ops["past"].count == 0
    assert all(p.requires_grad for p in ours.trainer.cast.networks.parameters())
