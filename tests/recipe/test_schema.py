"""The schema that editors use accepts what the reader accepts, and refuses what it can tell."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from ganforge.errors import RecipeError, Source
from ganforge.plugins.loading import load_plugins
from ganforge.plugins.registry import KINDS_IN_RECIPES, RESERVED, SINGULAR, Part
from ganforge.recipe import model, shipped_recipe
from ganforge.recipe.examples import example
from ganforge.recipe.merge import load
from ganforge.recipe.nodes import parse, read
from ganforge.recipe.reading import SECTIONS, read_recipe
from ganforge.recipe.schema import recipe_schema

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
TWINS = sorted((ROOT / "recipes" / "tiny").glob("*.yaml"))
FAULTS = Path(__file__).parent / "faults"

REGISTRY = load_plugins().registry
SCHEMA = recipe_schema(REGISTRY)
VALIDATOR = Draft7Validator(SCHEMA)
SOUND = read(FAULTS / "sound.yaml").plain()
PARTS = [part for part in REGISTRY.parts.values() if part.kind in KINDS_IN_RECIPES]


def refused(recipe: Any, validator: Draft7Validator = VALIDATOR) -> bool:
    return not validator.is_valid(recipe)


def yaml(text: str) -> Any:
    return parse(Source("r.yaml", text)).plain()


def with_(section: str, value: Any) -> dict[str, Any]:
    """The sound recipe with another section."""
    return SOUND | {section: value}


# The schema itself


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(SCHEMA)


def test_it_is_one_without_any_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_PLUGINS", "")
    bare = recipe_schema(load_plugins().registry)
    Draft7Validator.check_schema(bare)
    assert refused(SOUND, Draft7Validator(bare))


def test_it_has_every_section_and_explains_it() -> None:
    for name in ("recipe", "extending_recipe"):
        properties = SCHEMA["definitions"][name]["properties"]
        assert set(properties) == {*SECTIONS, "extends"}
    assert all(section["description"] for section in SCHEMA["definitions"]["recipe"]["properties"].values())


@pytest.mark.parametrize("form", model.Settings.__subclasses__(), ids=lambda form: form.__name__)
def test_every_setting_is_explained(form: type[model.Settings]) -> None:
    assert [name for name, field in form.model_fields.items() if not field.description] == []


def options_of(part: Part) -> dict[str, Any]:
    """What the schema says of a part, behind its `if`."""
    use = SCHEMA["definitions"][SINGULAR[part.kind]]
    branches = (use["anyOf"][-1] if "anyOf" in use else use)["allOf"]
    (found,) = [b["then"] for b in branches if part.full_name in b["if"]["properties"]["type"]["enum"]]
    return found


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.kind}-{part.full_name}")
def test_a_part_has_its_options_and_the_keys_of_its_kind(part: Part) -> None:
    said = options_of(part)
    inputs = part.signature.inputs if part.kind != "ops" else ()
    parameters = {p.name: p for p in (*inputs, *part.signature.options)}
    assert set(said["properties"]) == {"type", *parameters, *RESERVED.get(part.kind, ())}
    assert said["required"] == [name for name, parameter in parameters.items() if parameter.required]
    assert said["description"] == part.summary != ""
    for name, parameter in parameters.items():
        assert said["properties"][name].get("description") == part.explanations.get(name)
        has_default = not parameter.required and parameter.default is not None
        assert ("default" in said["properties"][name]) == has_default


def test_what_an_editor_shows_of_an_option() -> None:
    channels = options_of(REGISTRY.find("networks", "resnet_generator"))["properties"]["channels"]
    assert channels == {
        "type": "integer",
        "minimum": 1,
        "default": 64,
        "description": "channels at full size; the residual blocks have four times as many.",
    }


# What it accepts


@pytest.mark.parametrize("path", [*RECIPES, *TWINS], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_recipes_are_accepted(path: Path) -> None:
    own = read(path).plain()
    whole = load(path, (), lambda name: shipped_recipe(name, REGISTRY)).plain()
    assert [error.message for error in VALIDATOR.iter_errors(own)] == []
    assert [error.message for error in VALIDATOR.iter_errors(whole)] == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_name_the_schema(path: Path) -> None:
    title, line = path.read_text().splitlines()[:2]
    assert re.match(r"# \w", title)
    assert line == "# yaml-language-server: $schema=ganforge.schema.json"


def test_the_recipe_of_the_readme_is_accepted() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert not refused(yaml(text))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.kind}-{part.full_name}")
def test_examples_are_accepted(part: Part) -> None:
    assert not refused(yaml(example(part)) | {"extends": "a recipe around it"})


@pytest.mark.parametrize(
    "player",
    [
        "{networks: [G], optimizer: adam}",
        "{networks: [G], optimizer: {type: ganforge.adam, lr: 1, betas: [0.5, 0.9]}, ema: null, clip_norm: null}",
        "{networks: [G], optimizer: {type: adam, lr: fade, betas: [0, {type: glide, start: 0, end: 1, steps: 9}]}}",
        "{networks: [G], optimizer: adam, ema: {decay: {type: half_life, steps: 500, ramp_up: 0.05}}}",
        "{networks: [G], optimizer: adam, ema: {decay: fade}, clip_norm: 1, clip_weights: 0.01}",
        "{networks: [G], optimizer: adam, schedule: cosine}",
        "{networks: [G], optimizer: adam, schedule: [{type: warmup, steps: 500}, cosine]}",
        "{networks: [G], optimizer: adam, schedule: null}",
    ],
)
def test_ways_to_write_a_player(player: str) -> None:
    assert not refused(with_("players", {"generators": yaml(player)}))


def test_what_may_be_null_or_of_another_type() -> None:
    assert not refused(SOUND | dict.fromkeys(("ops", "schedules", "signals", "metrics", "callbacks", "requires")))
    assert not refused(with_("callbacks", {"panels": None, "bell": "progress"}))
    assert not refused(with_("signals", {"one": 1, "half": 0.5, "sure": True}))
    assert not refused(with_("ops", {"z": {"type": "noise", "size": 8}, "mix": "shuffle"}))


# What it refuses

# Faults of names, expressions, shapes and values together are for `ganforge check`.
TOLD = {
    "augment_misspelt",
    "augment_no_list",
    "clip_weights_of_nothing",
    "data_option_misspelt",
    "ema_and_clip",
    "empty",
    "expression_missing",
    "extends_and_misspells",
    "loss_input_extra",
    "loss_input_list",
    "loss_input_missing",
    "loss_input_misspelt",
    "metric_as_text",
    "missing_option",
    "missing_sections",
    "name_that_is_no_name",
    "not_a_mapping",
    "option_of_another_choice",
    "option_of_another_length",
    "option_of_another_type",
    "option_out_of_range",
    "option_that_is_null",
    "part_of_another_kind",
    "part_that_two_plugins_have",
    "part_without_type",
    "phase_without_losses",
    "player_without_optimizer",
    "run_settings",
    "run_without_length",
    "schedule_of_a_hyperparameter",
    "several_faults",
    "schedule_lengths",
    "typo_in_a_plugin_name",
    "unknown_key",
    "unknown_key_of_a_phase",
    "unknown_key_of_a_player",
    "unknown_key_of_run",
    "unknown_option",
    "unknown_option_of_an_optimizer",
    "unknown_part",
    "unknown_part_of_a_plugin_that_is_not_installed",
    "unknown_part_without_a_near_name",
    "weight",
}


def faulty() -> Iterator[tuple[str, Any, Draft7Validator]]:
    """The recipes of `faults/` that are YAML, each with the schema of its plugins."""
    lookalike = Draft7Validator(recipe_schema(load_plugins([FAULTS / "lookalike.py"]).registry))
    for path in sorted(FAULTS.glob("*.yaml")):
        try:
            yield path.stem, read(path).plain(), lookalike if "-p lookalike.py" in path.read_text() else VALIDATOR
        except RecipeError:
            continue


def test_it_tells_the_faults_that_a_schema_can_tell() -> None:
    assert {name for name, recipe, validator in faulty() if refused(recipe, validator)} == TOLD


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("data", "shapes"),
        ("networks", {"G": "stargan.generator"}),
        ("networks", {"G": {"type": "cyclegan.resnet_generator", "frozen": "yes"}}),
        ("ops", {"z": "noise"}),
        ("players", {"g": {"networks": [], "optimizer": "adam"}}),
        ("players", {"g": {"networks": ["G"], "optimizer": {"type": "adam", "betas": [0.5, 0.9, 0.99]}}}),
        ("players", {"g": {"networks": ["G"], "optimizer": {"type": "adam", "amsgrad": {"type": "constant"}}}}),
        ("players", {"g": {"networks": ["G"], "optimizer": {"type": "adam", "lr": {"type": "ramp", "end": 1}}}}),
        ("players", {"g": {"networks": ["G"], "optimizer": "adam", "schedule": "warmup"}}),
        ("players", {"g": {"networks": ["G"], "optimizer": "adam", "schedule": ["cosine", "linear"]}}),
        ("phases", [{"train": "g", "losses": {"adv": "l1"}}]),
        ("phases", [{"train": "g", "losses": {}}]),
        ("run", {"steps": 0}),
        ("run", {"steps": 1, "device": "cuda:01"}),
    ],
)
def test_it_refuses(section: str, value: Any) -> None:
    assert refused(with_(section, value))


# Recipes that extend


def test_what_a_recipe_that_extends_leaves_out_or_removes() -> None:
    extending = yaml("""
        extends: base.yaml
        data: {crop_px: 64, download: null}
        networks:
          G_ab: {channels: 4}
          G_ba: {type: cyclegan.resnet_generator, blocks: null}
          D_a: null
        players:
          generators: {optimizer: {lr: 1e-4, betas: null}, schedule: {hold_epochs: 5}, ema: {decay: null}}
        run: {epochs: null, images: null}
        callbacks: {panels: {}}
    """)
    assert not refused(extending)
    assert refused({name: value for name, value in extending.items() if name != "extends"})


@pytest.mark.parametrize(
    "text",
    [
        "network: {}",
        "networks: {G: {type: cyclegan.resnet_generator, block: 1}}",
        "networks: {G: {type: cyclegan.resnet_generator, channels: 0}}",
        "run: {precision: half}",
        "phases: [{train: g, losses: {adv: {input: x, target: y}}}]",
        "phases: [{train: g}]",
        "players: {g: {schedule: [{type: warmup}]}}",
    ],
)
def test_what_is_wrong_in_a_recipe_that_extends_too(text: str) -> None:
    assert refused(yaml(f"extends: base.yaml\n{text}"))


# Agreement with the reader

VALUES = [0, 1, 3, -1, 0.5, -0.5, 999.5, True, None, "text", "none", [], [1], [0.5, 0.5], [1, 2, 4], {}, {"a": 1}]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.kind}-{part.full_name}")
def test_schema_and_signature_agree_on_each_option(part: Part) -> None:
    for option in part.signature.options:
        schema = options_of(part)["properties"][option.name]
        for value in VALUES:
            if part.kind == "optimizers" and isinstance(value, str | dict):
                continue  # the name of a schedule, and a schedule
            if value is True and "enum" in schema:
                continue  # which pydantic takes for the choice 1
            _, faults = part.signature.check({option.name: value})
            wrong = any(fault.path[0] == option.name for fault in faults)
            validator = VALIDATOR.evolve(schema=schema)
            assert validator.is_valid(value) == (not wrong), f"{option} = {value!r}"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a recipe."""
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(child, dict | list):
            yield from places(child, (*path, key))


SCHEDULES = [{"type": "ramp", "end": 1, "steps": 9}, {"type": "cosine"}, "cosine", "fade"]
NEW_KEYS = {
    "every": 2,
    "weight": 3,
    "ema": {"decay": 0.9},
    "frozen": True,
    "clip_norm": 1,
    "workers": 1,
    "norm": "none",
}
CHANGING = with_("schedules", {"fade": {"type": "ramp", "end": 0.5, "steps": 9}})


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """A sound recipe with one value replaced, removed or added."""
    recipe = deepcopy(CHANGING)
    *path, last = draw(st.sampled_from(list(places(recipe))))
    at = recipe
    for key in path:
        at = at[key]
    alike = [value for value in [*VALUES, *SCHEDULES] if type(value) in (type(at[last]), dict)]
    match draw(st.sampled_from(["replace", "replace alike", "remove", "add"])):
        case "replace":
            at[last] = draw(st.sampled_from([*VALUES, *SCHEDULES, "adam", "real_a"]))
        case "replace alike":
            at[last] = draw(st.sampled_from(alike))
        case "remove":
            del at[last]
        case "add" if isinstance(at, dict):
            key = draw(st.sampled_from(sorted(NEW_KEYS)))
            at[key] = draw(st.sampled_from([NEW_KEYS[key], *SCHEDULES]))
    return recipe


@settings(max_examples=300, deadline=None)
@given(changed())
def test_what_the_reader_accepts_the_schema_accepts(recipe: dict[str, Any]) -> None:
    try:
        read_recipe(parse(Source("r.yaml", json.dumps(recipe))), REGISTRY, "r")
    except RecipeError:
        return
    assert [error.message for error in VALIDATOR.iter_errors(recipe)] == []


# The command


def test_the_command_prints_or_writes_it(ganforge: Callable, in_tmp: Path) -> None:
    assert json.loads(ganforge("schema").out) == SCHEMA
    outcome = ganforge("schema", "-o", "ganforge.schema.json")
    assert json.loads(Path("ganforge.schema.json").read_text()) == SCHEMA
    assert "# yaml-language-server: $schema=ganforge.schema.json" in outcome.out
    assert ganforge("schema", "-o", "nowhere/ganforge.schema.json").code == 2


def test_the_command_knows_parts_of_plain_files(ganforge: Callable, in_tmp: Path) -> None:
    Path("mine.py").write_text(
        "from typing import Any, Callable\n"
        "from pydantic import BaseModel\n"
        "from ganforge import Progress, Register, hookimpl\n"
        "class Bend(BaseModel):\n"
        "    at: int\n"
        "def bent(progress: Progress, bend: Bend, knots: list[Bend] = [], key: Callable[[int], int] | None = None)"
        " -> float:\n"
        "    '''Goes round a corner.'''\n"
        "    return 1.0\n"
        "@hookimpl\n"
        "def register_schedules(register: Register) -> None:\n"
        "    register('bent', bent)\n"
    )
    validator = Draft7Validator(json.loads(ganforge("schema", "-p", "mine.py").out))
    for bend, right in (({"at": 3}, True), ({"at": "3"}, False), ({}, False), (3, False)):
        recipe = with_("schedules", {"corner": {"type": "bent", "bend": bend, "knots": [bend]}})
        assert refused(recipe, validator) == (not right)
    assert refused(with_("schedules", {"corner": {"type": "bent", "bend": {"at": 3}}}))
    assert not refused(yaml("{extends: x, schedules: {corner: {type: bent, bend: {at: null}}}}"), validator)


def test_cp_tells_how_an_editor_gets_it(ganforge: Callable, in_tmp: Path) -> None:
    assert "ganforge schema -o ganforge.schema.json" in ganforge("cp", "cyclegan_shapes", "mine.yaml").out
    ganforge("schema", "-o", "ganforge.schema.json")
    assert "ganforge schema" not in ganforge("cp", "cyclegan_shapes", "other.yaml").out


def test_kinds_of_parts_all_have_a_definition() -> None:
    assert set(map(SINGULAR.get, KINDS_IN_RECIPES)) <= set(SCHEMA["definitions"])
