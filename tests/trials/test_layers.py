"""What is noted of a step's layers, and how they are timed in two types."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from ganforge.plugins.loading import load_plugins
from ganforge.recipe import open_recipe
from ganforge.rehearsal import layers
from ganforge.rehearsal.dry_run import dry_run
from ganforge.rehearsal.layers import Layer, bf16_against_fp32, heaviest

aten = torch.ops.aten


def noted(*overrides: str) -> tuple[Layer, ...]:
    recipe = open_recipe("cyclegan_shapes", overrides, load_plugins(()).registry)
    return dry_run(recipe).layers


def test_a_step_is_made_of_the_layers_that_are_noted() -> None:
    recipe = open_recipe("cyclegan_shapes", (), load_plugins(()).registry)
    plan = dry_run(recipe)
    assert sum(layer.flops * layer.times for layer in plan.layers) == sum(plan.flops.values())
    assert {layer.op for layer in plan.layers} == {"aten.convolution.default", "aten.convolution_backward.default"}
    taken = heaviest(plan.layers, learning=True)
    least = min(layer.flops * layer.times for layer in taken)
    assert all(layer.flops * layer.times <= least for layer in plan.layers if layer not in taken)
    assert not any(layer.backward for layer in heaviest(plan.layers, learning=False))


@pytest.mark.parametrize("layer", noted("networks.G_ab.channels=4", "networks.G_ba.channels=4"), ids=lambda x: x.op)
def test_a_layer_is_computed_again_as_it_was(layer: Layer) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        layers._call(layer, dtype)()


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("transposed", "weight", "stride"), [(False, [8, 4, 3, 3], 1), (False, [8, 4, 4, 4], 2), (True, [4, 8, 3, 3], 2)]
)
def test_a_piece_does_its_part_of_the_work(backward: bool, transposed: bool, weight: list[int], stride: int) -> None:
    image = [6, 4, 64, 48]
    options = ([stride] * 2, [1, 1], [1, 1], transposed, [0, 0], 1)
    with torch.device("meta"):
        out = list(aten.convolution(torch.empty(image), torch.empty(weight), None, *options).shape)
    shaped = [{"shape": image}, {"shape": weight}]
    given = ({"shape": out}, *shaped, None, *options, [True, True, False]) if backward else (*shaped, None, *options)
    op = "aten.convolution_backward.default" if backward else "aten.convolution.default"
    for part in (0.6, 0.2, 0.05):
        piece, kept = layers._cut(Layer(op, given, 1000, 1), part)
        assert 0.5 * part < kept < 1.7 * part
        layers._call(piece, torch.float32)()  # its shapes fit each other
        rows = piece.arguments[0 if not backward else 1]["shape"]
        assert kept == pytest.approx(rows[0] * rows[2] / (6 * 64))


def timed(seconds: Callable[[int, torch.dtype], float], monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """Let a layer with so many FLOPs take `seconds`, by its type; returns what was called."""
    called: list[torch.dtype] = []

    def call(layer: Layer, dtype: torch.dtype) -> Any:
        def work() -> float:
            called.append(dtype)
            return seconds(layer.flops, dtype)

        return work

    monkeypatch.setattr(layers, "_call", call)
    monkeypatch.setattr(layers, "_seconds", lambda work: work())
    return called


ONE, TEN = Layer("aten.mm.default", (), 1, 10), Layer("aten.mm.default", (), 10, 1)


def test_layers_count_as_often_as_a_step_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten of one second that take half as long, and one of ten that takes twice as long.
    timed(lambda n, dtype: n * (1 if dtype == torch.float32 else 0.5 if n == 1 else 2), monkeypatch)
    found = bf16_against_fp32([ONE, TEN])
    assert found is not None
    assert found.median == pytest.approx(20 / 25)


def test_what_else_is_at_work_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    others = itertools.cycle([1.0, 5.0, 1.0, 1.0, 9.0, 1.0, 1.0])
    timed(lambda n, dtype: next(others) * (1.0 if dtype == torch.float32 else 0.5), monkeypatch)
    found = bf16_against_fp32([ONE])
    assert found is not None
    assert found.median == 2.0
    assert found.low < 2.0 < found.high


def test_an_emulation_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    called = timed(lambda n, dtype: 1.0 if dtype == torch.float32 else 50.0, monkeypatch)
    found = bf16_against_fp32([ONE, TEN])
    assert found is not None
    assert found.median == pytest.approx(1 / 50)
    assert called.count(torch.bfloat16) <= 3  # of the heaviest layer alone


def test_what_a_type_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(n: int, dtype: torch.dtype) -> float:
        if n == 10:
            raise RuntimeError("not implemented for 'BFloat16'")
        return 1.0

    timed(seconds, monkeypatch)
    assert bf16_against_fp32([TEN]) is None
    found = bf16_against_fp32([TEN, ONE])
    assert found is not None
    assert found.median == 1.0


def test_a_piece_takes_milliseconds_and_is_not_all_weights() -> None:
    for heavy in (
        heaviest(noted("networks.G_ab.channels=64", "data.size_px=256", "data.batch_size=16"), learning=True),
        [Layer("aten.convolution.default", ({"shape": [128, 512, 8, 8]}, {"shape": [1024, 512, 4, 4]}), 34 * 10**9, 1)],
    ):
        for layer in heavy:
            _, part = layers._piece(layer)
            samples, _, height, width = layer.arguments[layer.backward]["shape"]
            assert layer.flops * part <= 3 * layers.PIECE_FLOPS
            assert samples * height * width * part >= 0.9 * layers.POSITIONS
