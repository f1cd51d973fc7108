"""A recipe becomes a checked model; whatever is done to its text, the answer is a recipe or a fault of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ganforge.errors import Problem, RecipeError, Source
from ganforge.plugins.loading import load_plugins
from ganforge.plugins.registry import Registry
from ganforge.recipe import open_recipe
from ganforge.recipe.model import Recipe, Written
from ganforge.recipe.name_checks import dependencies
from ganforge.recipe.nodes import parse
from ganforge.recipe.reading import read_recipe

SOUND = (Path(__file__).parent / "faults/sound.yaml").read_text()
RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("**/*.yaml"))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins().registry


def recipe(text: str, registry: Registry) -> Recipe:
    return read_recipe(parse(Source("r.yaml", text)), registry, "r")


def faults(text: str, registry: Registry) -> str:
    with pytest.raises(RecipeError) as raised:
        recipe(text, registry)
    return str(raised.value)


def test_a_recipe_is_read_whole(registry: Registry) -> None:
    read = recipe(SOUND, registry)
    assert list(read.networks) == ["G_ab", "G_ba", "D_b"]
    assert read.networks["G_ba"].options == {"channels": 8, "blocks": 1}
    assert read.networks["G_ba"].part.full_name == "cyclegan.resnet_generator"
    assert {name: written.text for name, written in read.signals.items()} == {
        "fake_b": "G_ab(real_a)",
        "rec_a": "G_ba(fake_b)",
    }
    assert [player.networks for player in read.players.values()] == [("G_ab", "G_ba"), ("D_b",)]
    generators, discriminators = read.phases
    assert [(loss.name, loss.weight, loss.every) for loss in generators.losses] == [
        ("adv_ab", 1.0, 1),
        ("cycle_a", 10.0, 1),
    ]
    bound = discriminators.losses[0].inputs["fake"]
    assert isinstance(bound, Written)
    assert str(bound.mark) == "r.yaml:19:57"
    assert (read.run.steps, read.loader.batch_size, read.owner("D_b")) == (10, 2, "discriminators")
    assert [written.text for written in read.images] == ["real_a", "fake_b", "rec_a"]
    assert read.warnings == ()


def test_what_depends_on_what(registry: Registry) -> None:
    read = recipe(SOUND, registry)
    assert dependencies(read, read.signals["rec_a"].expression) == {"G_ba", "fake_b", "G_ab", "real_a"}


def test_phases_of_one_player_get_names_of_their_own(registry: Registry) -> None:
    again = "  - {train: discriminators, every: 16, losses: {late: {type: lsgan_g, fake: D_b(real_b), every: 2}}}\nrun"
    read = recipe(SOUND.replace("run", again), registry)
    assert [(phase.name, phase.every) for phase in read.phases] == [
        ("generators", 1),
        ("discriminators", 1),
        ("discriminators_2", 16),
    ]


def test_weights_and_learning_rates_follow_schedules(registry: Registry) -> None:
    text = SOUND.replace("signals:", "schedules:\n  fade: {type: ramp, end: 1, steps: 100}\nsignals:")
    text = text.replace("weight: 10", "weight: fade").replace(
        "fake: D_b(fake_b)}\n      cycle", "fake: D_b(fake_b), weight: {type: constant, factor: 2}}\n      cycle"
    )
    text = text.replace("lr: 2e-4}}\n  disc", "lr: 2e-4}, schedule: [cosine, {type: warmup, steps: 5}]}\n  disc")
    read = recipe(text, registry)
    adversarial, cycle = (loss.weight for loss in read.phases[0].losses)
    assert cycle is read.schedules["fade"]
    assert not isinstance(adversarial, float)
    assert adversarial.part.name == "constant"
    assert [use.part.name for use in read.players["generators"].schedules] == ["cosine", "warmup"]


def test_a_fault_causes_no_others(registry: Registry) -> None:
    for old, new in (
        ("blocks: 1", "block: 1"),
        ("fake_b: G_ab(real_a)", "fake_b: G_ab(real_a"),
        ("networks:", "network:"),
        ("size_px", "size"),
    ):
        assert "\n\n" not in faults(SOUND.replace(old, new, 1), registry)


@pytest.mark.parametrize("section", ["data", "networks", "players", "phases", "run"])
@pytest.mark.parametrize("nothing", ["", "{}", "null"])
def test_a_section_in_which_nothing_stands_is_lacking(section: str, nothing: str, registry: Registry) -> None:
    lines, within = [], False
    for line in SOUND.splitlines():
        within = line.startswith(section) or (within and line.startswith(" "))
        lines += [] if within else [line]
    assert f"r.yaml: the recipe lacks '{section}'" in faults("\n".join([*lines, f"{section}: {nothing}"]), registry)


def test_faults_come_in_the_order_of_lines(registry: Registry) -> None:
    text = SOUND.replace("steps: 10", "step: 10").replace("size_px", "size").replace("rec_a: G_ba", "rec_a: G_bb")
    lines = [int(each.split(":")[1]) for each in faults(text, registry).split("\n\n")]
    assert lines == sorted(lines)
    assert len(lines) == 3


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_shipped_recipes_are_sound(path: Path, registry: Registry) -> None:
    assert open_recipe(str(path), [], registry).warnings == ()


def mutations(text: str, count: int) -> list[str]:
    """Slips of the keyboard: a character lost, added or another one, two lines exchanged, a line lost."""
    rng = random.Random(0)
    found = []
    for _ in range(count):
        at = rng.randrange(len(text) - 1)
        lines = text.splitlines(keepends=True)
        one, other = rng.sample(range(len(lines)), 2)
        match rng.randrange(5):
            case 0 | 1:
                mutant = text[:at] + text[at + 1 :]
            case 2:
                mutant = text[:at] + rng.choice("\t:,-*&[{}]('\"#!|> x0\u00fc") + text[at + rng.randrange(2) :]
            case 3:
                lines[one], lines[other] = lines[other], lines[one]
                mutant = "".join(lines)
            case _:
                mutant = "".join(lines[:one] + lines[one + 1 :])
        found.append(mutant)
    return found


def problems(text: str, registry: Registry) -> tuple[Problem, ...]:
    try:
        recipe(text, registry)
    except RecipeError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("chunk", range(10))
def test_no_slip_of_the_keyboard_is_a_crash(chunk: int, registry: Registry) -> None:
    found = [problems(mutant, registry) for mutant in mutations(SOUND, 500)[chunk::10]]
    assert sum(map(bool, found)) > len(found) // 2
    for problem in (problem for each in found for problem in each):
        assert problem.mark or problem.message.startswith("r.yaml: ")
