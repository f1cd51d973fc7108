"""Lower precisions: losses in the weights' type, one scaler a player."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

R3GAN = """
data: {{type: fields, batch_size: 2, shapes: {{real: [3, 16, 16]}}}}
networks: {{G: {{type: toys.synthesis}}, D: {{type: toys.critic}}}}
signals: {{fake: G(noise(8))}}
players:
  d: {{networks: [D], optimizer: &adam {{type: sgd, lr: 1e-2}}{clip}}}
  g: {{networks: [G], optimizer: *adam{clip}}}
phases:
  - train: d
    losses:
      rel: {{type: toys.relativistic, better: D(real), worse: D(fake)}}
      r1: {{type: toys.r1, logits: D(real), images: real, weight: 0.5}}
      r2: {{type: toys.r1, logits: D(fake), images: fake, weight: 0.5}}
  - train: g
    losses: {{adv: {{type: toys.relativistic, better: D(fake), worse: D(real)}}}}
run: {{steps: 10, precision: {precision}, device: cpu}}
"""


def trained(bench: Callable[..., Any], precision: str, clip: str = "", log: bool = False) -> Any:
    ours = bench(R3GAN.format(precision=precision, clip=clip))
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(1)
    for _ in range(4):
        ours.trainer.step([{"real": torch.rand(2, 3, 16, 16, generator=rng) * 2 - 1}], log=log)
    return ours


def weights(bench: Any) -> Tensor:
    return torch.cat([p.detach().flatten() for p in bench.trainer.cast.networks.parameters()])


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 2e-3), ("fp16", 3e-4)])
def test_low_precision_follows_full_precision_even_in_penalties_on_fakes(
    precision: str, tolerance: float, bench: Callable[..., Any]
) -> None:
    low, full = trained(bench, precision), trained(bench, "fp32")
    assert weights(low).dtype == torch.float32
    assert 0 < float((weights(low) - weights(full)).abs().max()) < tolerance


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_logging_gradients_changes_none(precision: str, bench: Callable[..., Any]) -> None:
    for clip in ("", ", clip_norm: 0.1"):
        quiet, logging = (trained(bench, precision, clip, log) for log in (False, True))
        assert torch.equal(weights(quiet), weights(logging))
        assert logging.trainer.statistics.read()["gradients/d"] < 10  # unscaled


def test_each_player_has_its_own_scaler(bench: Callable[..., Any]) -> None:
    ours = bench(R3GAN.format(precision="fp16", clip=""))
    scalers = {name: player.scaler for name, player in ours.trainer.players.items()}
    scalers["d"].scale(torch.ones(1))
    scalers["d"]._scale.fill_(1e38)  # its gradients overflow
    before = {name: p.detach().clone() for name, p in ours.trainer.cast.networks.named_parameters()}
    ours.trainer.step([{"real": torch.rand(2, 3, 16, 16)}])
    after = dict(ours.trainer.cast.networks.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("D."))
    assert not any(torch.equal(before[name], after[name]) for name in before if name.startswith("G."))
    assert scalers["d"].get_scale() == pytest.approx(0.5e38)
    assert scalers["g"].get_scale() == 2**16
    state = ours.trainer.state_dict()["players"]["d"]["scaler"]
    assert math.isclose(state["scale"], 0.5e38, rel_tol=1e-6)
