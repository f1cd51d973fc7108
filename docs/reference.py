"""Writes docs/reference/: every key of a recipe, every command, and every part that comes with ganforge.

    uv run python docs/reference.py
    uv run python docs/reference.py --check

All of it is read from the code: the keys from the schema that editors use, the commands from their help, the parts from
their signatures and docstrings. To change a page, change what it is read from. A test runs the check.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ganforge.cli import SECTIONS as COMMANDS
from ganforge.cli import cli
from ganforge.plugins.annotation_words import describe_default, describe_range, describe_type
from ganforge.plugins.loading import load_plugins
from ganforge.plugins.registry import BUILT_IN, KINDS_IN_RECIPES, RESERVED, SINGULAR, Part, Registry
from ganforge.plugins.signature import Parameter
from ganforge.recipe.examples import called
from ganforge.recipe.model import SECTIONS
from ganforge.recipe.schema import recipe_schema

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
FAMILIES = [folder.name.removeprefix("ganforge-") for folder in (ROOT / "plugins").iterdir()]
REMARK = "<!-- Written by docs/reference.py, from the code. -->"

Json = dict[str, Any]
Row = tuple[str, ...]


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where a page is not what the code says.")
def main(check: bool) -> None:
    """Write the pages, or check them."""
    registry = _that_come_along(load_plugins().registry)
    pages = {"keys.md": keys(registry), "commands.md": commands(), "parts.md": parts(registry)}
    FOLDER.mkdir(exist_ok=True)
    stale = False
    for name, lines in pages.items():
        path, text = FOLDER / name, "\n".join([REMARK, "", *lines]) + "\n"
        if not check:
            path.write_text(text, encoding="utf-8")
            continue
        written = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in difflib.unified_diff(written.splitlines(), text.splitlines(), f"docs/reference/{name}", "now", n=0):
            stale = True
            click.echo(line.rstrip("\n"))
    if stale:
        raise click.ClickException("the reference is not what the code says\n  uv run python docs/reference.py")


def _that_come_along(registry: Registry) -> Registry:
    """The parts of ganforge and of its families, whatever else is installed."""
    return Registry({key: part for key, part in registry.parts.items() if part.plugin in (BUILT_IN, *FAMILIES)})


# The keys of a recipe


def keys(registry: Registry) -> Iterator[str]:
    """The page of the keys, section by section."""
    forms = recipe_schema(registry)["definitions"]
    recipe, player, phase = (forms[name]["properties"] for name in ("recipe", "player", "phase"))
    yield from (
        "# Keys of a recipe",
        "",
        "What each means together with others is in [Recipes](../recipes.md); what `type` may be, with its options, in "
        "[Parts](parts.md). Names in capitals are yours. An override names a key as it stands here: "
        "`players.generators.clip_norm=1`, `phases.0.losses.cycle_a.weight=5`.",
        "",
    )
    yield from _keys("Sections", "", {name: recipe[name] for name in SECTIONS}, forms["recipe"]["required"])
    yield from _keys("data", "data.", _use(forms, "datasets"), ["type"])
    yield from _keys("augment of data", "data.augment.NUMBER.", _use(forms, "augmentations"), ["type"])
    yield from _keys("networks", "networks.NAME.", _use(forms, "networks"), ["type"])
    yield from _keys("ops", "ops.NAME.", _use(forms, "ops"), ["type"])
    yield from _keys("schedules", "schedules.NAME.", _use(forms, "schedules"), ["type"])
    yield from _keys("signals", "signals.", {"NAME": _of(recipe["signals"]) | {"description": "An expression."}})
    yield from _keys("players", "players.NAME.", player, forms["player"]["required"])
    yield from _keys("ema of a player", "players.NAME.ema.", forms["EmaSettings"]["properties"])
    yield from _keys("phases", "phases.NUMBER.", phase, forms["phase"]["required"])
    yield from _keys("losses of a phase", "phases.NUMBER.losses.NAME.", _use(forms, "losses"), ["type"])
    yield from _keys("metrics", "metrics.NAME.", _use(forms, "metrics"), ["type"])
    yield from _keys("callbacks", "callbacks.NAME.", _use(forms, "callbacks"), ["type"])
    yield from _keys("run", "run.", recipe["run"]["properties"])


def _keys(title: str, prefix: str, properties: Json, required: Iterable[str] = ()) -> Iterator[str]:
    needed = [name for name in properties if name in required]
    rows = []
    for name in (*needed, *(name for name in properties if name not in needed)):
        schema = properties[name]
        default = "required" if name in needed else _default(schema)
        meaning = " ".join(schema.get("description", "").split())
        rows.append((f"`{prefix}{name}`", _type(schema), default, _sentence(meaning)))
    yield from (f"## {title}", "", *_table(("key", "type", "default", "meaning"), rows), "")


def _of(section: Json) -> Json:
    """What stands in a section under each name."""
    return section["additionalProperties"]


def _use(forms: Json, kind: str) -> Json:
    """The keys that every part of a kind has where a recipe uses it, and a line for those of its own."""
    form = forms[SINGULAR[kind]]
    mapping = form["anyOf"][-1] if "anyOf" in form else form
    own = mapping["allOf"][0]["then"]["properties"]
    inputs = "Its inputs, each an expression, and its options" if kind in ("losses", "metrics") else "Its options"
    return {
        "type": {"type": "string", "description": mapping["properties"]["type"]["description"]},
        "OPTION": {"description": f"{inputs}: see [each {SINGULAR[kind]}](parts.md#{kind})."},
        **{name: own[name] for name in RESERVED.get(kind, ())},
    }


def _default(schema: Json) -> str:
    return f"`{describe_default(schema['default'])}`" if "default" in schema else ""


WORDS = {
    "integer": "int",
    "number": "float",
    "string": "text",
    "boolean": "bool",
    "array": "list",
    "object": "mapping",
    "null": "null",
}


def _type(schema: Json) -> str:
    """What a schema allows, in the words of `ganforge parts`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "[average](#ema-of-a-player)" if name == "EmaSettings" else _linked(name)
    if "properties" in schema:
        return f"[{schema['title']}](#{schema['title']})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each) for each in _flat(schema)))
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return " or ".join(f"`{describe_default(choice)}`" for choice in choices)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "then" in schema:  # a number for which a schedule may stand
        return f"{_simple(schema, kinds[0])}, or a {_type(schema['then'])}, or the name of one"
    return " or ".join(_simple(schema, kind) for kind in kinds)


def _flat(schema: Json) -> Iterator[Json]:
    """The alternatives of a schema, and theirs."""
    for each in schema["anyOf"]:
        yield from _flat(each) if "anyOf" in each else (each,)


def _simple(schema: Json, kind: str) -> str:
    match kind:
        case "array" if "items" in schema:
            return f"list of {_type(schema['items'])}"
        case "object" if schema.get("additionalProperties"):
            alternatives = _type(_of(schema)).replace(" or null", "")
            return f"mapping of names to {alternatives}"
        case "integer" | "number":
            return f"{WORDS[kind]}{_range(schema)}"
    return WORDS[kind]


def _range(schema: Json) -> str:
    """Bounds as `ganforge parts` has them: `>= 1`, `in [0, 1)`."""
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    told = describe_range({sign: schema[key] for key, sign in signs.items() if key in schema})
    return told and f" {told}"


def _linked(kind: str) -> str:
    plural = next((plural for plural, singular in SINGULAR.items() if singular == kind), None)
    return f"[{kind}](parts.md#{plural})" if plural else f"[{kind}](#{kind}s)"


# The commands


def commands() -> Iterator[str]:
    """The page of the commands, each with all that its `--help` says."""
    yield from (
        "# Commands",
        "",
        "Every command takes `-h` or `--help`, which prints what stands here; `ganforge --version` prints the version. "
        "Plugins may bring [further commands](../hooks/commands.md).",
        "",
    )
    context = click.Context(cli, info_name="ganforge")
    for title, names in COMMANDS.items():
        yield from (f"## {title}", "")
        for name in names:
            command = cli.get_command(context, name)
            assert command is not None
            yield from _command(command, click.Context(command, info_name=name, parent=context), 3)


def _command(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    usage = [context.command_path, *command.collect_usage_pieces(context)]
    yield from (f"{'#' * level} {context.command_path}", "", "```", " ".join(usage), "```", "")
    for block in inspect.cleandoc(command.help or "").split("\n\n"):
        yield from (*_paragraph(block), "")
    options = (each for each in command.params if isinstance(each, click.Option))
    rows = [record for option in options if (record := option.get_help_record(context))]
    if rows:
        known = [(f"`{names}`", _sentence(" ".join(text.split()))) for names, text in rows]
        yield from (*_table(("option", "meaning"), known), "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(inner, click.Context(inner, info_name=name, parent=context), level + 1)


def _paragraph(block: str) -> list[str]:
    """A paragraph of a help text; what click must not wrap, which begins with a backspace, shows commands."""
    if not block.startswith("\b"):
        return [_prose(" ".join(block.split()))]
    title, *lines = block.removeprefix("\b\n").splitlines()
    shown = [line.strip() for line in lines]
    return [title, "", "```console", *(f"$ {line}" if line.startswith("ganforge") else line for line in shown), "```"]


# The parts


def parts(registry: Registry) -> Iterator[str]:
    """The page of the parts, kind by kind."""
    yield from (
        "# Parts",
        "",
        "What comes with ganforge and its [families](../families.md). `ganforge parts` lists what is installed, yours "
        "included, and `ganforge parts NAME` ends with an example to paste. A short name, `resnet_generator`, works "
        "while only one plugin has it; that of a built-in part always does.",
        "",
    )
    for kind in KINDS_IN_RECIPES:
        yield from (f"## {kind}", "")
        if own := RESERVED.get(kind):
            names = ", ".join(f"`{name}`" for name in own)
            yield from (f"Every {SINGULAR[kind]} also takes {names}: see [keys](keys.md).", "")
        if kind == "optimizers":
            yield from (*_optimizers_of_torch(), "")
        for part in registry.of(kind):
            if not _of_torch(part):
                yield from _part(part)


def _of_torch(part: Part) -> bool:
    return part.factory.__module__.startswith("torch.")


def _optimizers_of_torch() -> list[str]:
    """Which there are, and what they say, depends on torch's version."""
    return [
        "All of [torch.optim](https://docs.pytorch.org/docs/stable/optim.html) that step without a closure and learn "
        "from dense gradients are there under their names in lower case, with the options that the installed torch "
        "has: `adam`, `adamw`, `sgd`, `rmsprop` and others. `ganforge parts adam` lists them. Every number that an "
        "optimizer keeps in its groups may be a [schedule](../recipes.md#players)."
    ]


def _part(part: Part) -> Iterator[str]:
    yield from (f"### {part.full_name}", "")
    for block in filter(None, part.doc.split("\n\n")):
        yield from (_prose(" ".join(block.split())), "")
    if call := called(part):
        yield from (f"In expressions: `{call}`.", "")
    for title, given in (("input", part.signature.inputs), ("option", part.signature.options)):
        if given:
            rows = [_parameter(part, parameter) for parameter in given]
            yield from (*_table((title, "type", "default", "meaning"), rows), "")
    for group in part.one_of:
        yield from (f"One of {', '.join(f'`{name}`' for name in group)} is given.", "")


def _parameter(part: Part, parameter: Parameter) -> Row:
    default = "required" if parameter.required else f"`{describe_default(parameter.default)}`"
    meaning = part.explanations.get(parameter.name, "")
    return f"`{parameter.name}`", f"`{describe_type(parameter.annotation)}`", default, _sentence(meaning)


# Markdown


def _table(titles: Row, rows: Iterable[Row]) -> Iterator[str]:
    for row in (titles, ("---",) * len(titles), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _sentence(text: str) -> str:
    """A text that ends with a full stop, be it the first words of a docstring's entry."""
    text = _prose(text)
    return text if not text or text.endswith((".", "]", ":", ")")) else f"{text}."


def _prose(text: str) -> str:
    """A text in which Markdown finds no marks but those of code and links."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else re.sub(r"(<(?!=)|\*)", r"\\\1", piece) for piece in pieces)


if __name__ == "__main__":
    main()
