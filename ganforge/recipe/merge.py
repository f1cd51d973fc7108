"""A recipe with what it extends and what the command line overrides, as one tree: each value keeps its origin."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from ganforge.errors import Mark, Problem, RecipeError, Source
from ganforge.recipe.nodes import Node, parse, read, scalar

WHOLE = ("run.images",)
"""Lists that are one value: their items have no meaning alone."""


def load(recipe: Path, overrides: Sequence[str] = (), find: Callable[[str], Path | None] = lambda name: None) -> Node:
    """Read a recipe, merge it over the recipes that it extends, and set the overrides (`networks.G_ab.blocks=6`).

    Args:
        recipe: a YAML file.
        overrides: dotted names, `=`, and a YAML value; later ones win.
        find: the file of a recipe that is extended by a name which is no path beside the extending file.

    Raises:
        RecipeError: with all the problems found, in the files and the overrides.
    """
    files = _Files(find)
    root = files.load(recipe)
    problems = files.problems
    for text in overrides:
        try:
            path, value = _read_override(text)
            root = root and _set(root, path, 0, value)
        except RecipeError as error:
            problems += error.problems
    if problems or root is None:
        raise RecipeError(problems)
    return root


def override(recipe: Node, text: str) -> Node:
    """The recipe with one override set, as `load` does.

    Raises:
        RecipeError: it is none, or finds no place.
    """
    path, value = _read_override(text)
    return _set(recipe, path, 0, value)


def merge(base: Node, over: Node) -> Node:
    """`over` laid on `base`: mappings merge by key, null removes a key, and all else replaces what it lies on.

    A mapping of another `type` replaces all of the inherited one: options of another part make no sense.
    """
    if not isinstance(base.value, dict) or not isinstance(over.value, dict) or _differ_in_type(base, over):
        return over
    entries = dict(base.value)
    for name, child in over.value.items():
        if name not in entries:
            entries[name] = child
        elif child.value is None and entries[name].value is not None:
            del entries[name]
        else:
            entries[name] = merge(entries[name], child)
    keys = base.keys | over.keys
    return Node(entries, over.mark, {name: keys[name] for name in entries})


def _differ_in_type(base: Node, over: Node) -> bool:
    old, new = base.mapping().get("type"), over.mapping().get("type")
    return old is not None and new is not None and new.value is not None and old.value != new.value


class _Files:
    """Reads recipe files and what they extend, each file once."""

    def __init__(self, find: Callable[[str], Path | None]) -> None:
        self.problems: list[Problem] = []
        self._find = find
        self._loaded: dict[str, Node | None] = {}
        self._open: dict[str, Path] = {}  # the chain of files that extend this one

    def load(self, path: Path, extends: Mark | None = None) -> Node | None:
        """The merged tree of a file, or nothing where there are problems; `extends` is where another file names it."""
        identity = os.path.realpath(path)
        if identity in self._open:
            chain = " -> ".join(each.name for each in [*self._open.values(), path])
            self.problems.append(Problem(f"the recipe extends itself: {chain}", extends, "break the circle"))
            return None
        if identity not in self._loaded:
            self._open[identity] = path
            self._loaded[identity] = self._load(path, extends)
            del self._open[identity]
        return self._loaded[identity]

    def _load(self, path: Path, extends: Mark | None) -> Node | None:
        try:
            own = read(path)
            if not isinstance(own.value, dict):
                message = f"a recipe is a mapping of names, but this is {own.kind}"
                cure = "begin with 'data:', 'networks:', 'players:', 'phases:'"
                raise RecipeError([Problem(message, own.mark, cure)])
            names = _extended(own)
        except RecipeError as error:
            self.problems += [replace(problem, mark=problem.mark or extends) for problem in error.problems]
            return None
        bases = [self.load(self._resolve(path, name.text()), name.mark) for name in names]
        layers = [base for base in bases if base is not None]
        entries = {key: child for key, child in own.mapping().items() if key != "extends"}
        return reduce(merge, [*layers, Node(entries, own.mark, {key: own.keys[key] for key in entries})])

    def _resolve(self, extending: Path, name: str) -> Path:
        beside = extending.parent / name
        if not os.path.exists(beside):
            return self._find(name) or beside
        short = os.path.normpath(beside)  # `..` behind a linked folder leads elsewhere than its text says
        return Path(short) if os.path.realpath(short) == os.path.realpath(beside) else beside


def _extended(recipe: Node) -> list[Node]:
    """The names of the recipes that this one extends; a later one wins over an earlier one."""
    extends = recipe.mapping().get("extends")
    if extends is None:
        return []
    names = extends.value if isinstance(extends.value, list) else [extends]
    wrong = [name for name in names if not (isinstance(name.value, str) and name.value.isprintable())]
    if wrong:
        cure = "for example extends: base.yaml, or extends: [base.yaml, small.yaml]"
        raise RecipeError(Problem(f"'extends' takes paths, but here stands {n.kind}", n.mark, cure) for n in wrong)
    return names


@dataclass(frozen=True)
class _Step:
    name: str
    mark: Mark


# Unquoted text cannot begin with these in YAML; text that begins otherwise needs no YAML to be read.
_INDICATORS = tuple("[]{}\"'&*!|>%@`")


def _read_override(text: str) -> tuple[list[_Step], Node]:
    source = Source("command line", text)
    dotted, equals, written = text.partition("=")
    path: list[_Step] = []
    column = 0
    for name in dotted.split("."):
        path.append(_Step(name.strip(), Mark(source, 0, column, max(1, len(name)))))
        column += len(name) + 1
    if not equals or not all(step.name for step in path):
        message = "an override is a dotted name, '=', and a value"
        raise RecipeError([Problem(message, Mark(source, 0, 0, len(text)), "for example run.epochs=2")])
    if any("\ud800" <= character <= "\udfff" for character in text):  # Python's stand-ins for bytes that are no text
        raise RecipeError([Problem("an override must be UTF-8 text", Mark(source, 0, 0, len(text)))])
    if path[0].name == "extends":
        raise RecipeError([Problem("only a file can extend a recipe", path[0].mark, "write a recipe with this line")])
    return path, _read_value(source, len(dotted) + 1, written)


def _read_value(source: Source, start: int, written: str) -> Node:
    text = written.strip()
    if text.startswith(_INDICATORS):
        return parse(source, start)
    column = start + written.find(text)
    return Node(scalar(text), Mark(source, 0, column, max(1, len(text))))


def _set(node: Node | None, path: Sequence[_Step], done: int, value: Node) -> Node:
    """`node`, reached by the first `done` steps of the path, with the value set at the path's end; null removes."""
    if done == len(path):
        return value
    step = path[done]
    removes = done == len(path) - 1 and value.value is None
    if node is None or node.value is None:
        node = Node({}, step.mark)
    match node.value:
        case dict():
            entries, keys = dict(node.value), {step.name: step.mark} | node.keys
            if removes and step.name in entries:
                del entries[step.name], keys[step.name]
            else:
                entries[step.name] = _set(entries.get(step.name), path, done + 1, value)
            return Node(entries, node.mark, keys)
        case list() as items if step.name in map(str, range(len(items))):
            index = int(step.name)
            new = [] if removes else [_set(items[index], path, done + 1, value)]
            return Node([*items[:index], *new, *items[index + 1 :]], node.mark)
    raise RecipeError([_no_way(node, path, done)])


def _no_way(node: Node, path: Sequence[_Step], done: int) -> Problem:
    step, above = path[done], ".".join(step.name for step in path[:done])
    if isinstance(node.value, list):
        last = len(node.value) - 1
        cure = f"count from 0: {above}.0 to {above}.{last}" if node.value else "set the whole list"
        return Problem(f"'{above}' has {last + 1} entries and no '{step.name}'", step.mark, cure)
    _, _, written = step.mark.source.text.partition("=")
    message = f"'{above}' is {node.kind} and has no '{step.name}'"
    return Problem(message, step.mark, f"did you mean '{above}={written}'?")


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of plain data by their dotted names: `{"phases.0.losses.cycle_a.weight": 10}`."""
    if isinstance(value, dict) and value:
        return _items(value.items(), prefix)
    if isinstance(value, list) and prefix not in WHOLE:
        return _items(enumerate(value), prefix)
    return {prefix: value}


def _items(items: Iterable[tuple[Any, Any]], prefix: str) -> dict[str, Any]:
    below = (flat(item, f"{prefix}.{name}" if prefix else str(name)) for name, item in items)
    return {key: leaf for leaves in below for key, leaf in leaves.items()}
