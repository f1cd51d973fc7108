"""Weights that nobody trains are told before the first step, with the way that works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
import torch
from torch import Tensor, nn
from ganforge import hookimpl

class Learning(nn.Module):
    '''A loss with weights; perhaps frozen.'''
    def __init__(self, frozen: bool = False) -> None:
        super().__init__()
        self.light = nn.Conv2d(3, 1, 1)
        self.register_buffer("count", torch.zeros(()))
        if frozen:
            self.requires_grad_(False)
    def forward(self, input: Tensor) -> Tensor:
        return self.light(input).square().mean()

class Lit(Learning):
    '''The same as an op.'''
    def forward(self, x: Tensor) -> Tensor:
        return x + self.light(x)

class Hidden:
    '''An op that keeps a network, and is none.'''
    def __init__(self, frozen: bool = False) -> None:
        self.light = nn.Conv2d(3, 3, 1).requires_grad_(not frozen)
    def __call__(self, x: Tensor) -> Tensor:
        return self.light(x)

class Listed(nn.Module):
    '''Keeps layers where torch does not see them.'''
    def __init__(self, seen: bool = False) -> None:
        super().__init__()
        layers = [nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)]
        self.inner = nn.Identity()
        self.inner.blocks = nn.ModuleList(layers) if seen else layers
        self.last = nn.Conv2d(3, 3, 1)
    def forward(self, x: Tensor) -> Tensor:
        for block in self.inner.blocks:
            x = block(x)
        return self.last(x)

class Late(nn.Module):
    '''Creates its weights at its first forward.'''
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.LazyConv2d(3, 1)
    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)

def through(input: Tensor, light: nn.Module) -> Tensor:
    '''The way that works: a loss which is given a network.'''
    return light(input).square().mean()

def penalty(judge: nn.Module, images: Tensor) -> Tensor:
    leaf = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(judge(leaf).sum(), leaf, create_graph=True)
    return gradient.square().mean()

@hookimpl
def register_losses(register):
    for name, loss in {"learning": Learning, "through": through, "penalty": penalty}.items():
        register(name, loss)

@hookimpl
def register_ops(register):
    register("lit", Lit)
    register("hidden", Hidden)

@hookimpl
def register_networks(register):
    register("listed", Listed)
    register("late", Late)
    register("one", lambda: nn.Conv2d(3, 1, 1))
"""
RECIPE = """
data: {type: shapes, size_px: 16, count: 4, validation: 2}
networks: {G: {type: cyclegan.resnet_generator, channels: 2, blocks: 0}}
ops: {}
signals: {fake: G(real_a)}
players: {g: {networks: [G], optimizer: {type: sgd, lr: 0.1}}}
phases:
  - {train: g, losses: {same: {type: l1, input: fake, target: real_b}}}
run: {steps: 2, images: []}
"""
WAYS = "freeze them if that is meant, with self.requires_grad_(False)"
LEARNING = "phases.0.losses.style={type: learning, input: fake%s}"


@pytest.fixture
def command(in_tmp: Path, ganforge: Callable[..., Any]) -> Callable[..., Any]:
    (in_tmp / "parts.py").write_text(PLUGIN)
    (in_tmp / "r.yaml").write_text(RECIPE)
    return lambda name, *more: ganforge(name, "r.yaml", "-p", "parts.py", *more)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            [LEARNING % ""],
            "the loss 'style' (learning) has weights that would never learn: light.weight, light.bias\n",
        ),
        (
            ["ops.o={type: lit}", "signals.fake=o(G(real_a))"],
            "the op 'o' (lit) has weights that would never learn: light.weight, light.bias\n",
        ),
        (
            ["ops.o={type: hidden}", "signals.fake=o(G(real_a))"],
            "the losses of this phase depend on 2 parameters that no network has, and that never learn\n",
        ),
        (  # a network makes the dry run build real weights
            [
                "ops.o={type: hidden}",
                "signals.fake=o(G(real_a))",
                "networks.L={type: late}",
                "players.g.networks=[G, L]",
                "phases.0.losses.other={type: l1, input: L(real_a), target: real_b}",
            ],
            "the losses of this phase depend on 2 parameters that no network has, and that never learn\n",
        ),
        (
            ["networks.G={type: listed}"],
            "network 'G' keeps them in inner.blocks: keep layers in nn.ModuleList or nn.ModuleDict",
        ),
    ],
)
def test_what_would_never_learn_is_told(changes: list[str], told: str, command: Any) -> None:
    outcome = command("check", *changes)
    assert outcome.code == 2, outcome.out
    assert told in outcome.err
    assert " ^" in outcome.err
    assert WAYS in outcome.err or "ModuleList" in outcome.err


@pytest.mark.parametrize(
    "changes",
    [
        [LEARNING % ", frozen: true"],
        ["ops.o={type: lit, frozen: true}", "signals.fake=o(G(real_a))"],
        ["ops.o={type: hidden, frozen: true}", "signals.fake=o(G(real_a))"],
        ["networks.G={type: listed, seen: true}"],
        [
            "networks.L={type: one}",
            "players.g.networks=[G, L]",
            "phases.0.losses.style={type: through, input: fake, light: L}",
            "phases.0.losses.p={type: penalty, judge: L, images: fake}",
        ],
    ],
)
def test_what_works_works(changes: list[str], command: Any) -> None:
    outcome = command("run", *changes)
    assert outcome.code == 0, outcome.err


def test_what_was_trained_before_can_still_be_used(command: Any, ganforge: Callable[..., Any], in_tmp: Path) -> None:
    plugin = (in_tmp / "parts.py").read_text()
    (in_tmp / "parts.py").write_text(plugin.replace("frozen: bool = False", "frozen: bool = True"))
    assert command("run", LEARNING % "", "run.images=[fake]").code == 0
    (in_tmp / "parts.py").write_text(plugin)
    assert command("check", LEARNING % "").code == 2
    used = ganforge("translate", "runs/r/0001", "runs/r/0001/images", "-o", "out", "-p", "parts.py")
    assert "would never learn" not in used.err
