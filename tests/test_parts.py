"""`ganforge parts`: what is installed, and each part as its user needs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

PLUGIN = '''
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ganforge import Register, hookimpl


def charbonnier(input: Tensor, target: Tensor, *, epsilon: Annotated[float, Field(gt=0)] = 1e-3) -> Tensor:
    """A smooth L1 (Charbonnier et al. 1994).

    Args:
        input: what should be like the target, however long the line becomes that says so, for it is wrapped here.
        epsilon: the width of the round part.
    """
    return ((input - target).square() + epsilon**2).sqrt().mean()


@hookimpl
def register_losses(register: Register) -> None:
    register("charbonnier", charbonnier)
'''


def test_a_part_of_a_plain_file_is_explained(ganforge: Callable, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (in_tmp / "mine.py").write_text(PLUGIN)
    monkeypatch.setenv("COLUMNS", "60")
    assert (
        ganforge("parts", "charbonnier", "-p", "mine.py").out
        == """\
mine.charbonnier  loss, mine.py

  A smooth L1 (Charbonnier et al. 1994).

  inputs, bound to expressions
    input: tensor  (required)
        what should be like the target, however long the
        line becomes that says so, for it is wrapped here.
    target: tensor  (required)

  options
    epsilon: float > 0 = 0.001
        the width of the round part.

  Every loss also takes: weight, every.

  example
    phases:
      - train: some_player
        losses:
          my_loss: {type: mine.charbonnier, input: some_signal, target: some_signal, epsilon: 0.001}

"""
    )


def test_a_list_has_a_line_for_each_part_where_no_terminal_wraps_it(
    ganforge: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    title, *lines = ganforge("parts", "schedules").out.splitlines()
    assert title == "schedules"
    assert [line.split()[0] for line in lines if line.startswith("  ganforge.c")] == [
        "ganforge.constant",
        "ganforge.cosine",
    ]
    assert all(line.startswith("  ") and line[2] != " " for line in lines)


def test_a_name_of_several_parts_explains_each(ganforge: Callable) -> None:
    out = ganforge("parts", "generator").out
    assert "cut.generator  network, ganforge-cut " in out
    assert "stargan.generator  network, ganforge-stargan " in out


def test_an_optimizer_of_torch_reads_like_a_part_of_ours(ganforge: Callable) -> None:
    out = ganforge("parts", "adam").out
    assert ":math:" not in out
    assert "\\" not in out
    assert "betas: list[float, float] = [0.9, 0.999]\n        coefficients used for computing" in out
