"""Recipes extend recipes and overrides win over both; every value keeps its origin, every fault its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganforge.errors import RecipeError
from ganforge.recipe.merge import load
from ganforge.recipe.yaml_writing import dump

Write = Callable[..., Path]

BASE = """\
networks:
  G_ab: &G {type: resnet, channels: 64, blocks: 9}
  G_ba: *G
phases:
  - train: generators
    losses:
      cycle: {type: l1, weight: 10}
      identity: {type: l1, weight: 5}
  - train: discriminators
run: {epochs: 200, images: [real_a, fake_b]}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write recipes into the working folder, so that messages name them by relative paths; return the last one."""
    monkeypatch.chdir(tmp_path)

    def write(**recipes: str) -> Path:
        for name, text in recipes.items():
            Path(f"{name}.yaml").write_text(text)
        return Path(f"{name}.yaml")

    return write


@pytest.fixture
def base(write: Write) -> Path:
    return write(base=BASE)


def fault(recipe: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load(recipe, overrides)
    return str(caught.value)


def test_extending_merges_mappings_and_replaces_the_rest(write: Write) -> None:
    recipe = write(base=BASE, small="extends: base.yaml\nrun: {epochs: 2}\nphases: []\ndata: {root: here}\n")
    node = load(recipe)
    assert node.plain() == {
        "networks": {name: {"type": "resnet", "channels": 64, "blocks": 9} for name in ("G_ab", "G_ba")},
        "phases": [],
        "run": {"epochs": 2, "images": ["real_a", "fake_b"]},
        "data": {"root": "here"},
    }
    assert str(node.at(["run", "epochs"]).mark) == "small.yaml:2:15"
    assert str(node.at(["run", "images"]).mark) == "base.yaml:10:28"
    assert str(node.at(["run"]).keys["epochs"]) == "small.yaml:2:7"
    assert str(node.at(["run"]).keys["images"]) == "base.yaml:10:20"
    assert "epochs: 2  # small.yaml:2\n" in dump(node, origins=True)


def test_null_removes_what_is_inherited_and_stays_where_nothing_is(write: Write) -> None:
    node = load(write(base="a: {b: 1, c: 2}\nd: 3\n", small="extends: base.yaml\na: {b: null, e: null}\nd:\n"))
    assert node.plain() == {"a": {"c": 2, "e": None}}
    assert list(node.keys) == ["a"]


def test_another_type_replaces_all_options(write: Write) -> None:
    recipe = write(
        base="G: {type: resnet, blocks: 9}\nD: {type: patch, layers: 3}\nE: {blocks: 1}\n",
        small="extends: base.yaml\nG: {type: unet, depth: 4}\nD: {type: patch, norm: none}\nE: {type: unet}\n",
    )
    assert load(recipe).plain() == {
        "G": {"type": "unet", "depth": 4},
        "D": {"type": "patch", "layers": 3, "norm": "none"},
        "E": {"blocks": 1, "type": "unet"},
    }


def test_an_aliased_mapping_changes_only_where_it_is_extended(write: Write) -> None:
    node = load(write(base=BASE, small="extends: base.yaml\nnetworks: {G_ab: {blocks: 6}}\n"))
    assert [node.at(["networks", name, "blocks"]).value for name in ("G_ab", "G_ba")] == [6, 9]


def test_recipes_extend_in_chains_and_lists_of_which_the_later_win(write: Write) -> None:
    recipe = write(
        root="a: 0\nb: 0\nc: 0\nd: 0\n",
        left="extends: root.yaml\na: 1\nb: 1\nc: 1\n",
        right="extends: [root.yaml]\nb: 2\nc: 2\n",
        both="extends: [left.yaml, right.yaml]\nc: 3\n",
    )
    assert load(recipe).plain() == {"a": 0, "b": 2, "c": 3, "d": 0}


def test_paths_are_relative_to_the_extending_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/mid.yaml").write_text("extends: ../root.yaml\nb: 2\n")
    node = load(write(root="a: 1\n", top="extends: deep/mid.yaml\n"))
    assert node.plain() == {"a": 1, "b": 2}
    assert str(node.at(["a"]).mark) == "root.yaml:1:4"


def test_a_plugin_may_ship_what_is_extended(write: Write, tmp_path: Path) -> None:
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin/toy.yaml").write_text("a: 1\n")
    recipe = write(small="extends: cyclegan.toy\n")
    assert load(recipe, find={"cyclegan.toy": Path("plugin/toy.yaml")}.get).plain() == {"a": 1}


EXTENDS_FAULTS = {
    "extends: bsae.yaml": """\
small.yaml:1:10: there is no recipe 'bsae.yaml'
  extends: bsae.yaml
           ^^^^^^^^^
  did you mean 'base.yaml'?""",
    "extends: small.yaml": """\
small.yaml:1:10: the recipe extends itself: small.yaml -> small.yaml
  extends: small.yaml
           ^^^^^^^^^^
  break the circle""",
    "extends: .": """\
small.yaml:1:10: cannot read '.': Is a directory
  extends: .
           ^
  give the path of a YAML file""",
    "extends: [base.yaml, 3]": """\
small.yaml:1:22: 'extends' takes paths, but here stands a number
  extends: [base.yaml, 3]
                       ^
  for example extends: base.yaml, or extends: [base.yaml, small.yaml]""",
    "- a": """\
small.yaml:1:1: a recipe is a mapping of names, but this is a list
  - a
  ^
  begin with 'data:', 'networks:', 'players:', 'phases:'""",
    "# nothing": """\
small.yaml:1:1: a recipe is a mapping of names, but this is null
  # nothing
  ^
  begin with 'data:', 'networks:', 'players:', 'phases:'""",
}


@pytest.mark.parametrize("text", EXTENDS_FAULTS)
def test_faults_of_extends_are_shown_where_it_is_written(text: str, write: Write) -> None:
    assert fault(write(base="a: 1\n", small=text)) == EXTENDS_FAULTS[text]


def test_a_circle_is_shown_whole(write: Write) -> None:
    recipe = write(b="extends: c.yaml\n", c="x: 1\nextends: a.yaml\n", a="extends: b.yaml\n")
    assert fault(recipe).startswith("c.yaml:2:10: the recipe extends itself: a.yaml -> b.yaml -> c.yaml -> a.yaml\n")


def test_each_file_is_read_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = {f"r{i}": f"extends: [r{i - 1}.yaml, r{i - 1}.yaml]\n" for i in range(1, 40)}
    assert load(write(r0="a: 1\n", **chain)).plain() == {"a": 1}


def test_all_faults_are_told_at_once(write: Write) -> None:
    recipe = write(base="a: 1\na: 2\n", small="extends: [base.yaml, nope.yaml]\nb: 1\n")
    places = [each.split(": ")[0] for each in fault(recipe, "epochs", "run.x=[").split("\n\n")]
    assert places == ["base.yaml:2:1", "command line:1:1", "command line:1:8", "small.yaml:1:22"]


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("networks.G_ab.blocks=6", ["networks", "G_ab", "blocks"], 6),
        ("phases.0.losses.cycle.weight=5e-1", ["phases", 0, "losses", "cycle", "weight"], 0.5),
        ("phases.1={train: both}", ["phases", 1], {"train": "both"}),
        ("data.root=../some/path", ["data", "root"], "../some/path"),
        ("signals.x=G_ab(real_a)", ["signals", "x"], "G_ab(real_a)"),
        ("signals.x=concat(a, b)", ["signals", "x"], "concat(a, b)"),
        ("run.note=a: b #c", ["run", "note"], "a: b #c"),
        ("run.note=x=y", ["run", "note"], "x=y"),
        ("run.note='5'", ["run", "note"], "5"),
        ("run.note=no", ["run", "note"], "no"),
        ("run.images=[real_a, fake_b]", ["run", "images"], ["real_a", "fake_b"]),
        ("networks.G_ab.type=unet", ["networks", "G_ab"], {"type": "unet", "channels": 64, "blocks": 9}),
        ("run.epochs = 3 ", ["run", "epochs"], 3),
        ("new.deep.key=true", ["new"], {"deep": {"key": True}}),
        ("new.key=", ["new"], {"key": None}),
    ],
)
def test_overrides_set_values(override: str, path: list[str | int], value: Any, base: Path) -> None:
    assert load(base, [override]).at(path).plain() == value


def test_overrides_leave_all_else_alone(base: Path) -> None:
    expected = load(base).plain()
    expected["networks"]["G_ab"] = {"type": "resnet", "channels": 64, "blocks": 6}
    assert load(base, ["networks.G_ab.blocks=6"]).plain() == expected


def test_later_overrides_win(base: Path) -> None:
    assert load(base, ["run={epochs: 1}", "run.epochs=2", "run.steps=3"]).plain()["run"] == {"epochs": 2, "steps": 3}


def test_null_overrides_remove(base: Path) -> None:
    node = load(base, ["phases.0.losses.identity=null", "phases.1=", "run=~"])
    assert "run" not in node.plain()
    assert node.plain()["phases"] == [{"train": "generators", "losses": {"cycle": {"type": "l1", "weight": 10}}}]
    assert "run" not in node.keys


@pytest.mark.parametrize("written", ["G(a)", "'G(a)'", "  G(a)", "[1, 2]", "{a: 1}"])
def test_an_override_is_the_origin_of_its_value(written: str, base: Path) -> None:
    node = load(base, [f"run.x={written}"])
    mark = node.at(["run", "x"]).mark
    assert str(mark) == f"command line:1:{7 + len(written) - len(written.lstrip())}"
    assert mark.source.text == f"run.x={written}"
    assert str(node.at(["run"]).keys["x"]) == "command line:1:5"
    assert mark.width == (1 if written[0] in "[{" else len(written.strip()))


OVERRIDE_FAULTS = {
    "run.epochs": """\
command line:1:1: an override is a dotted name, '=', and a value
  run.epochs
  ^^^^^^^^^^
  for example run.epochs=2""",
    "run..epochs=2": """\
command line:1:1: an override is a dotted name, '=', and a value
  run..epochs=2
  ^^^^^^^^^^^^^
  for example run.epochs=2""",
    "run.epochs.max=2": """\
command line:1:12: 'run.epochs' is a number and has no 'max'
  run.epochs.max=2
             ^^^
  did you mean 'run.epochs=2'?""",
    "phases.2.train=x": """\
command line:1:8: 'phases' has 2 entries and no '2'
  phases.2.train=x
         ^
  count from 0: phases.0 to phases.1""",
    "phases.generators.every=2": """\
command line:1:8: 'phases' has 2 entries and no 'generators'
  phases.generators.every=2
         ^^^^^^^^^^
  count from 0: phases.0 to phases.1""",
    "run.images=[a, b": """\
command line:1:17: a ',' or ']' is missing before this
  run.images=[a, b
                  ^
  close the list that opens in line 1""",
    "run.note=@x": """\
command line:1:10: a value cannot start with this character
  run.note=@x
           ^
  put the value in quotes""",
    "run.note=[a], b": """\
command line:1:13: this stands after the end of the value
  run.note=[a], b
              ^
  put the whole value in quotes""",
    "run={a: 1, a: 2}": """\
command line:1:12: the key 'a' stands in line 1 too
  run={a: 1, a: 2}
             ^
  remove or rename one of them""",
    "extends=base.yaml": """\
command line:1:1: only a file can extend a recipe
  extends=base.yaml
  ^^^^^^^
  write a recipe with this line""",
}


@pytest.mark.parametrize("override", OVERRIDE_FAULTS)
def test_faults_of_overrides_are_shown_in_them(override: str, base: Path) -> None:
    assert fault(base, override) == OVERRIDE_FAULTS[override]


def test_an_empty_list_has_no_entries_to_set(base: Path) -> None:
    assert "'phases' has 0 entries and no '0'" in fault(base, "phases=[]", "phases.0.every=2")
