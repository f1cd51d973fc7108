"""A shape that does not fit is told at its place, without the pages that torch logs of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ganforge.core.torch_internals.log import withheld

PLUGIN = """
import torch
from torch import Tensor, nn
from ganforge import hookimpl

class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images) + images

def between(net: nn.Module, other: nn.Module, images: Tensor, mask: Tensor | None = None) -> Tensor:
    return (net(images) + images[:, :, 1:]).mean()

@hookimpl
def register_networks(register):
    register("odd", Odd)

@hookimpl
def register_losses(register):
    register("between", between)
"""


def test_a_shape_fault_is_told_in_a_few_lines(ganforge_process: Callable, tmp_path: Path, repository: Path) -> None:
    """In a process of its own: where tests run, torch's log goes elsewhere."""
    (tmp_path / "odd.py").write_text(PLUGIN)
    recipe = repository / "recipes" / "tiny" / "cyclegan_shapes.yaml"
    loss = "phases.0.losses.x={type: between, net: G_ab, other: G_ba, images: real_a}"
    outcome = ganforge_process("check", recipe, "-p", "odd.py", "networks.D_b={type: odd}", loss)
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) < 12
    assert "'D_b(fake_b)' cannot be computed: Attempting to broadcast" in outcome.err
    assert "its inputs: net ResnetGenerator, other ResnetGenerator, images [2, 3, 32, 32]\n" in outcome.err


def test_only_torch_is_silent(capfd) -> None:  # type: ignore[no-untyped-def]
    with withheld():
        logging.getLogger("torch._subclasses.fake_tensor").error("pages")
        logging.getLogger("mine").error("mine")
    logging.getLogger("torch._subclasses.fake_tensor").error("later")
    assert "pages" not in capfd.readouterr().err
