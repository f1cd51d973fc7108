"""A dry run is made once, and anew whenever anything that it depends on has changed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from ganforge.plugins.loading import load_plugins
from ganforge.recipe import open_recipe
from ganforge.rehearsal import known_plans as plans
from ganforge.rehearsal.dry_run import dry_run
from ganforge.rehearsal.known_plans import planned

PLUGIN = """
from torch import Tensor, nn

import helper
from ganforge import Register, hookimpl


class Painter(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, helper.OUT, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


@hookimpl
def register_networks(register: Register) -> None:
    register("painter", Painter)
"""
RECIPE = """
data: {type: shapes, size_px: 16, batch_size: 2}
networks: {G: {type: painter}}
signals: {fake: G(real_a)}
players: {generator: {networks: [G], optimizer: adam}}
phases: [{train: generator, losses: {cycle: {type: l1, input: fake, target: real_a}}}]
run: {steps: 2}
"""


ROOT = Path(__file__).resolve().parents[2]


class Coded(NamedTuple):
    content: list[int]
    style: list[int]


@pytest.fixture
def rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The recipes that were rehearsed, not remembered; `mine.py`, its helper and `mine.yaml` are in the folder."""
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PLUGIN)
    Path("helper.py").write_text("OUT = 3\n")
    Path("mine.yaml").write_text(RECIPE)
    made: list[str] = []

    def counted(recipe: Any, *more: Any) -> Any:
        made.append(recipe.name)
        return dry_run(recipe, *more)

    monkeypatch.setattr(plans, "dry_run", counted)
    return made


def check(ganforge: Callable[..., Any], *more: str) -> Any:
    return ganforge("check", "mine.yaml", "-p", "mine.py", *more)


def test_it_is_made_once_for_all_commands(rehearsed: list[str], ganforge: Callable[..., Any]) -> None:
    first = check(ganforge)
    assert first.code == 0, first.err
    assert check(ganforge).out == first.out
    assert len(rehearsed) == 1
    assert ganforge("run", "mine.yaml", "-p", "mine.py", "run.images=[]").code == 0
    assert ganforge("show", "mine.yaml", "-p", "mine.py", "--graph", "run.images=[]").code == 0
    assert len(rehearsed) == 2  # with other images


@pytest.mark.parametrize(
    "more",
    ["networks.G.width=5", "data.size_px=32", "data.batch_size=3", "run.images=[fake]", "signals.two=G(fake)"],
)
def test_another_recipe_is_rehearsed(more: str, rehearsed: list[str], ganforge: Callable[..., Any]) -> None:
    check(ganforge)
    assert check(ganforge, more).code == 0
    assert len(rehearsed) == 2


@pytest.mark.parametrize("more", ["run.steps=9", "run.seed=3", "run.log_every=2", "callbacks.doctor=null"])
def test_what_a_dry_run_does_not_depend_on(more: str, rehearsed: list[str], ganforge: Callable[..., Any]) -> None:
    check(ganforge)
    assert check(ganforge, more).code == 0
    assert len(rehearsed) == 1


@pytest.mark.parametrize("namesake", [False, True])
@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("mine.py", "padding=1), nn", "padding=0), nn", "2, 3, 14, 14"),
        ("helper.py", "OUT = 3", "OUT = 4", "2, 4, 16, 16"),
    ],
)
def test_changed_code_is_rehearsed_and_its_fault_is_never_kept(
    file: str,
    old: str,
    new: str,
    told: str,
    namesake: bool,
    rehearsed: list[str],
    ganforge: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if namesake:  # of another file
        monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    assert check(ganforge).code == 0
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))
    for count in (2, 3):
        outcome = check(ganforge)
        assert outcome.code == 2
        assert told in outcome.err
        assert len(rehearsed) == count
    Path(file).write_text(text)
    assert check(ganforge).code == 0


def test_code_without_a_file_is_rehearsed_each_time(
    rehearsed: list[str], ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "typed_in", ModuleType("typed_in"))
    Path("mine.py").write_text(PLUGIN + 'Painter.__module__ = "typed_in"\n')
    for count in (1, 2):
        assert check(ganforge).code == 0
        assert len(rehearsed) == count


@pytest.mark.parametrize("name", ["cyclegan_shapes", "munit_shapes", "stylegan2_folder", "acgan_spots"])
def test_what_comes_back_is_what_was_kept(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_CACHE", str(tmp_path))
    recipe = open_recipe(str(ROOT / f"recipes/tiny/{name}.yaml"), (), load_plugins(()).registry)
    first = planned(recipe)
    monkeypatch.setattr(plans, "dry_run", lambda *_: None)
    assert planned(recipe) == first
    assert planned(recipe, to_train=False) == first


def test_ranks_of_another_launch_know_it(
    rehearsed: list[str], ganforge: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They meet at another port each time."""
    for port in ("29500", "41379"):
        monkeypatch.setenv("MASTER_PORT", port)
        assert check(ganforge).code == 0
    assert len(rehearsed) == 1


def test_shapes_of_all_kinds_come_back() -> None:
    shape = {"sizes": [1, 2], "none": None, "pair": ([1], {"a": [3, 4]}), "list": [[1], [2, 3]], "scalar": []}
    shape["named"] = Coded([1], [2])
    kept = json.loads(json.dumps({name: plans._nested(value) for name, value in shape.items()}))
    assert {name: plans._unnested(value) for name, value in kept.items()} == shape
    with pytest.raises(TypeError, match="a shape in a set"):
        plans._nested({1})
