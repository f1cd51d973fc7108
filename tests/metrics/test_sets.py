"""Pictures that a validation set repeats: the shorter of two folders starts over, and each picture counts once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from ganforge.training.repeats import Repeats

HERE = Path(__file__).parent
HORSES = HERE.parents[1] / "recipes/tiny/cyclegan_horse2zebra.yaml"


def test_a_sample_is_new_as_far_as_the_fields_that_matter_go() -> None:
    a, b = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    repeats = Repeats()
    repeats.begin([{"x": a, "y": a}, {"x": a, "y": b}])
    assert repeats.new(frozenset({"x"})) == [0]
    assert repeats.new(frozenset({"x"})) == [0]  # asked again of the same batch
    assert repeats.new(frozenset({"x", "y"})) == [0, 1]
    assert repeats.new(frozenset()) == [0, 1]  # made from noise
    repeats.begin([{"x": b, "y": a}, {"x": a, "y": a}])
    assert repeats.new(frozenset({"x"})) == [0]
    assert repeats.new(frozenset({"x", "y"})) == [0]


def test_metrics_that_compare_sets_see_each_picture_once(
    ganforge: Callable, in_tmp: Path, picture_folders: Path
) -> None:
    counting = (  # testA has 2 pictures, testB 3
        "metrics.sets={type: features.how_many, real: real_b, fake: fake_b}",
        "metrics.back={type: features.how_many, real: real_a, fake: fake_a}",
        "metrics.pairs={type: features.how_many_pairs, real: real_b, fake: fake_b}",
    )
    outcome = ganforge("run", HORSES, f"data.root={picture_folders}", *counting, "-p", HERE / "features.py")
    assert outcome.code == 0, outcome.err
    figures = json.loads(Path("runs/cyclegan_horse2zebra/0001/run.json").read_text())["metrics"]
    assert (figures["sets/real"], figures["sets/fake"]) == (3, 2)
    assert (figures["back/real"], figures["back/fake"]) == (2, 3)
    assert (figures["pairs/real"], figures["pairs/fake"]) == (3, 3)
