"""Recipes as a JSON Schema: with it an editor completes a recipe and underlines its faults while it is written.

The schema is draft 7, the newest that all editors know. What a part takes follows from its name: `if` the type is adam,
`then` the options of adam. So an editor complains of one option, and not of every part that might have been meant.
A recipe that extends another has definitions of its own: it may leave out what it inherits, and null removes a key.

A schema knows no expressions and no names of the recipe itself: `ganforge check` sees more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python

from ganforge.plugins.registry import KINDS_IN_RECIPES, SINGULAR, Part, Registry, UnknownPart
from ganforge.plugins.signature import Parameter, is_sequence
from ganforge.recipe import model
from ganforge.recipe.model import REQUIRED, SECTIONS

Json = dict[str, Any]

OWN_KEYS = {
    "frozen": "The network does not learn, and no player names it.",
    "weight": "What the loss is multiplied by: a number, a schedule, or the name of one.",
    "augment": "What is done to training samples, one after the other.",
    "every": "The loss counts in every so many runs of its phase, the first included, and then so many-fold.",
}

EXTENDING = "extending_"
NAMES = {"pattern": r"^(?![_0-9])[^\s!-/:-@\[-^`{-~]+$", "errorMessage": "use letters, digits and underscores: fake_b"}
EXPRESSION = {"type": ["string", "number", "boolean"]}
EXPRESSIONS = {"type": [*EXPRESSION["type"], "array"], "items": EXPRESSION}


def recipe_schema(registry: Registry) -> Json:
    """The schema of all the recipes that these parts allow."""
    writer = _Writer(registry)
    for kind in KINDS_IN_RECIPES:
        writer.definitions[SINGULAR[kind]] = writer.part(kind)
    writer.definitions |= {"player": writer.player(), "phase": writer.phase(), "recipe": writer.recipe()}
    extending = {f"{EXTENDING}{name}": _extending(schema) for name, schema in writer.definitions.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "if": {"required": ["extends"]},
        "then": _reference(f"{EXTENDING}recipe"),
        "else": _reference("recipe"),
        "definitions": writer.definitions | extending,
    }


@dataclass
class _Writer:
    """Writes definitions of what a recipe is made of."""

    registry: Registry
    definitions: Json = field(default_factory=dict)

    def recipe(self) -> Json:
        shipped = list(dict.fromkeys(part.name for part in self.registry.of("recipes")))
        texts = {"type": "array", "items": {"type": "string"}}
        sections: dict[str, Json] = {
            "data": _reference("dataset"),
            "networks": _section(_reference("network"), NAMES) | {"minProperties": 1},
            "ops": _or_null(_section(_reference("op"), NAMES)),
            "schedules": _or_null(_section(_reference("schedule"), NAMES)),
            "signals": _or_null(_section(EXPRESSION, NAMES)),
            "players": _section(_reference("player")) | {"minProperties": 1},
            "phases": {"type": "array", "items": _reference("phase"), "minItems": 1},
            "metrics": _or_null(_section(_reference("metric"))),
            "callbacks": _or_null(_section(_or_null(_reference("callback")))),
            "run": self.settings(model.RunSettings) | {"anyOf": [{"required": ["epochs"]}, {"required": ["steps"]}]},
            "requires": _or_null(texts),
            "extends": {"anyOf": [{"type": "string", "examples": shipped}, texts]},
        }
        properties = {name: sections[name] | {"description": text} for name, text in SECTIONS.items()}
        required = list(REQUIRED)
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def player(self) -> Json:
        form = self.settings(model.PlayerSettings)
        average = self.definitions["EmaSettings"]["properties"]
        average["decay"] = _or_schedule(average["decay"])
        schedule = _reference("schedule")
        form["properties"] |= {
            "optimizer": _reference("optimizer")
            | {"description": "How the networks learn. A number that it keeps in its groups may be a schedule."},
            "schedule": {
                "anyOf": [schedule, {"type": "array", "items": schedule}, {"type": "null"}],
                "description": "A factor on the learning rate, or a list whose product is.",
            },
        }
        return form | {"required": ["networks", "optimizer"]}

    def phase(self) -> Json:
        form = self.settings(model.PhaseSettings)
        form["properties"]["losses"] = {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": _reference("loss"),
            "description": "What the player is trained on, by name.",
        }
        return form | {"required": ["train", "losses"]}

    def settings(self, form: type[model.Settings]) -> Json:
        """The keys of a fixed form."""
        schema = form.model_json_schema(ref_template="#/definitions/{model}", schema_generator=_Generator)
        self.definitions |= schema.pop("$defs", {})
        return schema | {"title": form.__name__.removesuffix("Settings").lower()}

    # Parts

    def part(self, kind: str) -> Json:
        """How a recipe uses a part of a kind: `{type: adam, lr: 2e-4}`, or `adam` where nothing must be given."""
        parts = {part: self.names(part) for part in self.registry.of(kind)}
        branches = [
            {"if": {"properties": {"type": {"enum": names}}, "required": ["type"]}, "then": self.options(part)}
            for part, names in parts.items()
        ]
        mapping = {
            "type": "object",
            "properties": {"type": {"description": f"The name of the {SINGULAR[kind]}."} | _choice(parts)},
            "required": ["type"],
            "allOf": branches or [{}],
        }
        bare = {part: names for part, names in parts.items() if not _required(part) and not part.one_of}
        return mapping if kind in ("datasets", "losses") or not bare else {"anyOf": [_choice(bare), mapping]}

    def names(self, part: Part) -> list[str]:
        """The names that find a part: the short one, where it does, and the full one."""
        try:
            found = self.registry.find(part.kind, part.name) is part
        except UnknownPart:
            found = False
        return [part.name, part.full_name] if found else [part.full_name]

    def options(self, part: Part) -> Json:
        """The keys of a part: its options, its inputs, and those that are the engine's."""
        own = f"{part.kind}.{part.full_name}."
        form = part.signature.adapter.json_schema(
            ref_template=f"#/definitions/{own}{{model}}", schema_generator=_Generator
        )
        self.definitions |= {f"{own}{name}": schema for name, schema in form.pop("$defs", {}).items()}
        properties: Json = {"type": {}}
        for given in _inputs(part):
            schema = EXPRESSIONS if is_sequence(given.annotation) else EXPRESSION
            properties[given.name] = schema | _about(part, given)
        for option in part.signature.options:
            schema = form["properties"][option.name]
            schema = _or_schedule(schema) if part.kind == "optimizers" else schema
            properties[option.name] = schema | _about(part, option)
        return {
            "title": part.full_name,
            "description": part.summary,
            "properties": properties | self.own_keys(part.kind),
            "required": _required(part),
            "additionalProperties": False,
        } | _one_of(part)

    def own_keys(self, kind: str) -> Json:
        """The keys beside the options that are the engine's."""
        match kind:
            case "datasets":
                changes = {"type": "array", "items": _reference("augmentation"), "description": OWN_KEYS["augment"]}
                return self.settings(model.LoaderSettings)["properties"] | {"augment": _or_null(changes)}
            case "augmentations":
                return self.settings(model.AugmentSettings)["properties"]
            case "networks":
                return {"frozen": {"type": "boolean", "default": False, "description": OWN_KEYS["frozen"]}}
            case "losses":
                weight = {"type": "number", "default": 1, "description": OWN_KEYS["weight"]}
                every = {"type": "integer", "minimum": 1, "default": 1, "description": OWN_KEYS["every"]}
                return {"weight": _or_schedule(weight), "every": every}
        return {}


class _Generator(GenerateJsonSchema):
    """Pydantic's schemas as draft 7, without titles."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        # Python takes choices in another order for the same type, and remembers whichever came first.
        written = super().literal_schema(schema)
        return written | ({"enum": sorted(written["enum"], key=str)} if "enum" in written else {})

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        written = super().tuple_schema(schema)
        if "prefixItems" in written:
            written["additionalItems"] = written.pop("items", False)
            written["items"] = written.pop("prefixItems")
        return written

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        written = super().default_schema(schema)
        return {key: value for key, value in written.items() if (key, value) != ("default", None)}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return _or_null(self.generate_inner(schema["schema"]))

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}  # a type that JSON has no word for


def _reference(name: str) -> Json:
    return {"$ref": f"#/definitions/{name}"}


def _section(entry: Json, names: Json | None = None) -> Json:
    """Entries by name."""
    return {"type": "object", "additionalProperties": entry} | ({"propertyNames": names} if names else {})


def _choice(parts: dict[Part, list[str]]) -> Json:
    """A schema for one of the names of these parts."""
    known = [(name, part.summary) for part, names in parts.items() for name in names]
    return {"enum": [name for name, _ in known], "enumDescriptions": [summary for _, summary in known]}


def _inputs(part: Part) -> tuple[Parameter, ...]:
    """What a recipe binds where it uses the part; an op's inputs are the arguments of its calls."""
    return part.signature.inputs if part.kind != "ops" else ()


def _required(part: Part) -> list[str]:
    return [parameter.name for parameter in (*_inputs(part), *part.signature.options) if parameter.required]


def _one_of(part: Part) -> Json:
    """A schema by which exactly one is given of the options that say one thing in several ways."""
    groups = [{"oneOf": [{"required": [name]} for name in group]} for group in part.one_of]
    return {"allOf": groups} if groups else {}


def _about(part: Part, parameter: Parameter) -> Json:
    """What the docstring says of a parameter, and its default where that is a value to start from."""
    text = part.explanations.get(parameter.name)
    about: Json = {"description": text} if text else {}
    if not parameter.required and parameter.default is not None:
        about["default"] = to_jsonable_python(parameter.default, fallback=str)
    return about


def _or_null(schema: Json) -> Json:
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]} if schema else schema
    choices = {"enum": list(dict.fromkeys([*schema["enum"], None]))} if "enum" in schema else {}
    return schema | {"type": list(dict.fromkeys([*_kinds(schema), "null"]))} | choices


def _or_schedule(schema: Json) -> Json:
    """The schema with a schedule, or the name of one, in place of every number."""
    kinds = _kinds(schema)
    if {"number", "integer"} & set(kinds):
        # Not `anyOf`: the number keeps its range, and an editor complains of what was meant.
        return schema | {"type": [*kinds, "string", "object"], "if": {"type": "object"}, "then": _reference("schedule")}
    changed = dict(schema)
    for key, value in schema.items():
        match key, value:
            case ("properties", dict()):
                changed[key] = {name: _or_schedule(child) for name, child in value.items()}
            case ("anyOf" | "items", list()):
                changed[key] = [_or_schedule(child) for child in value]
            case ("items" | "additionalItems" | "additionalProperties", dict()):
                changed[key] = _or_schedule(value)
    return changed


def _extending(schema: Json) -> Json:
    """What a recipe that extends another writes in a schema's place: nothing is required, and null removes a key.

    A list replaces the inherited one: what it holds is whole.
    """
    loose: Json = {}
    for key, value in schema.items():
        match key, value:
            case ("required" | "minProperties", _):
                continue
            case ("$ref", str()):
                loose[key] = value.replace("#/definitions/", f"#/definitions/{EXTENDING}")
            case ("properties", dict()):
                loose[key] = {name: _or_null(_extending(child)) for name, child in value.items()}
            case ("additionalProperties", dict()):
                loose[key] = _or_null(_extending(value))
            case ("oneOf", list()):  # what is inherited may say it already
                loose["anyOf"] = [{}]
            case ("anyOf" | "allOf", list()):
                loose[key] = [_extending(child) for child in value]
            case ("then", dict()):
                loose[key] = _extending(value)
            case _:
                loose[key] = value
    return loose


def _kinds(schema: Json) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds
