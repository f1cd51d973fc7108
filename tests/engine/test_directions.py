"""What a recipe translates into what is read off its expressions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import rehearsed
from rehearsed import dry_run
from tiny import RECIPES

from ganforge import Direction
from ganforge.recipe.model import Recipe
from ganforge.rehearsal.directions import directions

A2B = Direction("a2b", "real_a", "fake_b", "real_b", "D", None)
FROM_NOISE = Direction("fake", None, "fake", "real", "D", None)
BOTH = (
    Direction("a2b", "real_a", "fake_b", "real_b", "D_b", "rec_a"),
    Direction("b2a", "real_b", "fake_a", "real_a", "D_a", "rec_b"),
)
MUNIT = (
    Direction("a2b", "real_a", "fake_b", "real_b", "D_b", None),
    Direction("b2a", "real_b", "fake_a", "real_a", "D_a", None),
)
EXPECTED = {
    "cut": (A2B,),
    "fastcut": (A2B,),
    "cyclegan": BOTH,
    "munit": MUNIT,
    "pix2pix": (A2B,),
    "pix2pixhd": (A2B,),
    "stargan": (Direction("fake", "real", "fake", "real", "D", "rec"),),
}


def found_in(recipe: Recipe) -> tuple[Direction, ...]:
    return directions(recipe, dry_run(recipe).shapes)


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_is_understood(name: str) -> None:
    family = name.partition("_")[0]
    of_points = () if name.endswith("_ring") else (FROM_NOISE,)
    found = found_in(rehearsed.opened(name))
    if name == "r3gan_shapes":
        assert found == (Direction("fake", None, "fake", "real_b", "D", None),)
    else:
        assert found == EXPECTED.get(family, of_points)


PLAIN = """
data: {{type: fields, shapes: {{real_a: [3, 16, 16], real_b: [3, 16, 16]}}}}
networks:
  G: {{type: toys.translator}}
  D: {{type: toys.critic}}
signals: {{{signals}}}
players:
  g: {{networks: [G], optimizer: {{type: sgd, lr: 0.1}}}}
  d: {{networks: [D], optimizer: {{type: sgd, lr: 0.1}}}}
phases:
  - {{train: g, losses: {{adv: {{type: lsgan_g, fake: {fake}}}}}}}
  - {{train: d, losses: {{judge: {{type: lsgan_d, real: {real}, fake: {fake}}}}}}}
run: {{steps: 1}}
"""


@pytest.mark.parametrize(
    ("signals", "fake", "real", "expected"),
    [
        ("out: G(real_a)", "D(out)", "D(real_b)", "out"),
        ("out: G(real_a), shown: out", "D(shown)", "D(real_b)", "out"),
        ("out: G(real_a)", "D(G(real_a))", "D(real_b)", "out"),
        ("same: G(real_b), out: G(real_a)", "D(out)", "D(real_b)", "out"),
        ("verdict: D(out), out: G(real_a)", "verdict", "D(real_b)", "out"),
        ("lighter: shuffle(out), out: G(real_a)", "D(lighter)", "D(real_b)", "out"),
        ("out: G(real_a)", "D(out)", "D(G(real_b))", None),  # the judge is shown nothing real
    ],
)
def test_what_is_translated(
    read: Callable[[str], Recipe], signals: str, fake: str, real: str, expected: str | None
) -> None:
    found = found_in(read(PLAIN.format(signals=signals, fake=fake, real=real)))
    assert [d.translated for d in found] == ([expected] if expected else [])


def test_a_recipe_without_a_judge_has_none(read: Callable[[str], Recipe]) -> None:
    text = """
data: {type: shapes, size_px: 16, count: 4, validation: 2}
networks: {G: {type: toys.translator}}
signals: {fake_b: G(real_a)}
players: {g: {networks: [G], optimizer: {type: sgd, lr: 0.1}}}
phases: [{train: g, losses: {same: {type: l1, input: fake_b, target: real_a}}}]
run: {steps: 1}
"""
    assert found_in(read(text)) == ()
