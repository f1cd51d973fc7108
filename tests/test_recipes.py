"""Every recipe of the project is checked, and its tiny twin trains through the real command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganforge.plugins.loading import load_plugins
from ganforge.recipe import shipped_recipe
from ganforge.recipe.merge import load

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
TWINS = sorted((ROOT / "recipes" / "tiny").glob("*.yaml"))


def resolved(recipe: Path) -> dict[str, Any]:
    """A recipe with what it extends."""
    registry = load_plugins().registry
    return load(recipe, (), lambda name: shipped_recipe(name, registry)).plain()


@pytest.fixture(scope="session")
def roots(picture_folders: Path, pair_folders: Path, class_folders: Path) -> dict[str, Path]:
    """Tiny pictures for each dataset that reads folders."""
    return {
        "unpaired_folders": picture_folders,
        "image_folder": picture_folders / "trainA",
        "paired_folders": pair_folders,
        "class_folders": class_folders,
    }


def test_there_is_a_tiny_twin_of_every_recipe() -> None:
    assert [recipe.name for recipe in RECIPES] == [twin.name for twin in TWINS] != []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_what_its_plugin_ships(recipe: Path) -> None:
    assert recipe.resolve().is_relative_to(ROOT / "plugins"), "recipes/ links to the files that come with the wheels"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_checks_without_its_data(recipe: Path, ganforge: Callable, in_tmp: Path) -> None:
    # Their second derivatives are computed sample by sample, each a fake one; groups of 4 samples fill either batch.
    fewer = ["data.batch_size=8"] if recipe.stem.startswith("stylegan2") else []
    outcome = ganforge("check", recipe, *fewer)
    assert outcome.code == 0, outcome.err
    assert "all fits" in outcome.out


@pytest.mark.parametrize("twin", TWINS, ids=lambda path: path.stem)
def test_a_twin_trains(twin: Path, ganforge: Callable, in_tmp: Path, roots: dict[str, Path]) -> None:
    data = resolved(twin)["data"]
    outcome = ganforge("run", twin, *([f"data.root={roots[data['type']]}"] if "root" in data else []))
    assert outcome.code == 0, outcome.err
    run = in_tmp / "runs" / twin.stem / "0001"
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["step"]) == ("finished", 4)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step_0000002", "step_0000004"]
    panels = list((run / "images").glob("*"))
    assert bool(panels) == ("images" in resolved(twin)["run"] or not twin.stem.endswith("_ring"))
    for panel in panels:
        assert [path.name for path in sorted(panel.iterdir())] == [f"step_000000{n}.png" for n in (0, 2, 4)]


def test_the_horse2zebra_recipe_is_the_papers(ganforge: Callable, in_tmp: Path) -> None:
    """Zhu et al. 2017, section 4 and appendix: the numbers that the recipe must not lose."""
    from ganforge.recipe import open_recipe

    recipe = open_recipe("cyclegan_horse2zebra", (), load_plugins().registry)
    weights = {loss.name: loss.weight for phase in recipe.phases for loss in phase.losses}
    assert weights == {
        **dict.fromkeys(("adv_ab", "adv_ba"), 1.0),
        **dict.fromkeys(("cycle_a", "cycle_b"), 10.0),
        **dict.fromkeys(("identity_a", "identity_b"), 5.0),
        **dict.fromkeys(("judge_a", "judge_b"), 0.5),
    }
    for player in recipe.players.values():
        assert player.optimizer.options == {"lr": 2e-4, "betas": (0.5, 0.999)}
        assert [schedule.options for schedule in player.schedules] == [{"hold_epochs": 100.0, "decay_epochs": 100.0}]
    assert recipe.dataset.shapes() == {"real_a": (3, 256, 256), "real_b": (3, 256, 256)}
    assert (recipe.loader.batch_size, recipe.run.epochs) == (1, 200)
    assert {use.options["blocks"] for name, use in recipe.networks.items() if name.startswith("G")} == {9}
    assert {use.options["size"] for use in recipe.ops.values()} == {50}
