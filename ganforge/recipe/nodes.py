"""YAML as a tree of nodes: every value keeps the file, line and column where it was written.

PyYAML reads the graph (see `yaml_graph`); what its nodes mean is decided here, by YAML 1.2's core schema
(https://yaml.org/spec/1.2.2/, section 10.3): `2e-4` is a number, `no` is text, a key stands once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yaml.nodes import Node as YamlNode  # type: ignore[import-untyped]
from yaml.nodes import ScalarNode, SequenceNode

from ganforge.errors import Mark, Problem, RecipeError, Source, suggest
from ganforge.recipe.yaml_graph import MAX_BYTES, check_limits, compose, too_large

Scalar = str | int | float | bool | None


@dataclass(frozen=True, eq=False)
class Node:
    """A value and where it was written. Nodes are shared between aliases and never changed: build new ones."""

    value: Scalar | dict[str, Node] | list[Node]
    mark: Mark = field(repr=False)
    keys: dict[str, Mark] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """What the value is, in the words of an error message."""
        match self.value:
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case str():
                return "text"
            case None:
                return "null"
            case bool():
                return "true or false"
        return "a number"

    @property
    def children(self) -> Iterable[Node]:
        """The values of a mapping or list; nothing for a scalar."""
        match self.value:
            case dict():
                return self.value.values()
            case list():
                return self.value
        return ()

    @property
    def content_mark(self) -> Mark:
        """The mark of a scalar's characters, inside its quotes: what a place within the text is shifted from.

        It is exact for text that stands on one line as it reads; behind an escape or a line break no shift is.
        """
        quotes = isinstance(self.value, str) and self.mark.width == len(self.value) + 2
        return self.mark.shifted(1, self.mark.width - 2) if quotes else self.mark

    def plain(self) -> Any:
        """The value as plain Python data."""
        match self.value:
            case dict():
                return {name: child.plain() for name, child in self.value.items()}
            case list():
                return [child.plain() for child in self.value]
        return self.value

    def at(self, path: Iterable[str | int]) -> Node:
        """The node at a path of keys and indices, or the deepest one on the way that was written."""
        node = self
        for step in path:
            match node.value, step:
                case dict() as entries, str() if step in entries:
                    node = entries[step]
                case list() as items, int() if 0 <= step < len(items):
                    node = items[step]
                case _:
                    break
        return node

    def mapping(self) -> dict[str, Node]:
        """The entries of a mapping.

        Raises:
            RecipeError: the value is something else.
        """
        return self._as(dict, "a mapping")

    def text(self) -> str:
        """The characters of a text.

        Raises:
            RecipeError: the value is something else.
        """
        return self._as(str, "text")

    def _as(self, kind: type, wanted: str) -> Any:
        if not isinstance(self.value, kind):
            raise RecipeError([Problem(f"here stands {self.kind}, but {wanted} is needed", self.mark)])
        return self.value


_CORE: tuple[tuple[re.Pattern[str], Callable[[str], Scalar]], ...] = (
    (re.compile(r"|~|null|Null|NULL"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]{1,64}|0x[0-9a-fA-F]{1,64}"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)


def scalar(text: str) -> Scalar:
    """What an unquoted text means by YAML 1.2's core schema."""
    if len(text) > 100:  # no number of a recipe is this long, and int() refuses 4,301 digits
        return text
    return next((convert(text) for pattern, convert in _CORE if pattern.fullmatch(text)), text)


def read(path: Path) -> Node:
    """Read a recipe file.

    Raises:
        RecipeError: the file is missing, unreadable or no recipe; it holds all the problems found.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = suggest(path.name, (other.name for other in path.parent.glob("*.y*ml")), "give the path of a YAML file")
        raise RecipeError([Problem(f"there is no recipe '{path}'", cure=near)]) from None
    except OSError as error:
        problem = Problem(f"cannot read '{path}': {error.strerror}", cure="give the path of a YAML file")
        raise RecipeError([problem]) from None
    if len(data) > MAX_BYTES:
        raise RecipeError([too_large(str(path))])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = f"'{path}' is not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}"
        raise RecipeError([Problem(message, cure="a recipe is a YAML file; save it as UTF-8")]) from None
    return parse(Source(str(path), text))


def parse(source: Source, start: int = 0) -> Node:
    """Parse a text of one YAML document, or what stands from column `start` of its first line on. No text is null.

    Raises:
        RecipeError: with all the problems found; a syntax error hides those after it.
    """
    if source.text.startswith("\ufeff"):
        source = Source(source.name, source.text[1:])
    text = " " * start + source.text[start:]
    root, problems = compose(text, source)
    builder = _Builder(text, source, problems)
    node = builder.build(root) if root else Node(None, Mark(source, 0, start))
    if problems:
        raise RecipeError(problems)
    return node


# A call as it should have been written, brackets inside brackets up to three levels.
_CALL = re.compile(r"[^()\n]*\((?:[^()\n]|\((?:[^()\n]|\([^()\n]*\))*\))*\)")
_ANCHOR = re.compile(r"(?:&[\w-]+(?:\s|#.*)*)?")


class _Builder:
    """Turns PyYAML's nodes into ours, each once: aliases share a node."""

    def __init__(self, text: str, source: Source, problems: list[Problem]) -> None:
        self._problems = problems
        self._text = text
        self._source = source
        self._nodes: dict[int, Node] = {}
        self._sizes: dict[Node, tuple[int, int]] = {}  # values in a node, and its levels, aliases written out
        self._merged = 0

    def build(self, written: YamlNode) -> Node:
        """The node of a PyYAML node, or the one that was built for its alias."""
        if id(written) not in self._nodes:
            self._nodes[id(written)] = self._measured(self._build(written))
        return self._nodes[id(written)]

    def _build(self, written: YamlNode) -> Node:
        mark = self._mark(written)
        if isinstance(written, ScalarNode):
            if fault := self._cut_short(written, mark):
                self._problems.append(fault)
            return Node(scalar(written.value) if written.style is None else written.value, mark)
        if isinstance(written, SequenceNode):
            return Node([self.build(child) for child in written.value], mark)
        return self._mapping(written, mark)

    def _cut_short(self, written: ScalarNode, mark: Mark) -> Problem | None:
        """Inside { } or [ ], YAML ends unquoted text at a comma, be it between the arguments of a call."""
        text, end = written.value, written.end_mark.index
        if written.style is not None or text.count("(") <= text.count(")") or self._text[end : end + 1] != ",":
            return None
        start = end - len(text)
        whole = _CALL.match(self._text, start)
        message = "the ',' ends this text, for it stands inside { } or [ ]"
        return Problem(message, mark, f'put quotes around it: "{whole[0]}"' if whole else "put quotes around the whole")

    def _measured(self, node: Node) -> Node:
        sizes = [self._sizes[child] for child in node.children]
        values = 1 + sum(values for values, _ in sizes)
        levels = 1 + max((levels for _, levels in sizes), default=0)
        check_limits(values, levels, node.mark, self._problems)
        self._sizes[node] = values, levels
        return node

    def _mapping(self, written: YamlNode, mark: Mark) -> Node:
        inherited, own = Node({}, mark), Node({}, mark)
        places: dict[str, Mark] = {}
        for key, value in written.value:
            place, child = self._mark(key), self.build(value)
            if fault := self._key_fault(key, place, places):
                self._problems.append(fault)
                continue
            places[key.value] = place
            if key.value == "<<" and key.style is None:
                inherited = self._merge_key(child, mark)
            else:
                own.mapping()[key.value] = child
                own.keys[key.value] = place
        return Node(inherited.mapping() | own.mapping(), mark, inherited.keys | own.keys)

    def _key_fault(self, key: YamlNode, place: Mark, places: dict[str, Mark]) -> Problem | None:
        if not isinstance(key, ScalarNode):
            return Problem("a key must be text, not a list or mapping", place, "put text that starts so in quotes")
        if key.style is None and not isinstance(scalar(key.value), str):
            kind = Node(scalar(key.value), place).kind
            return Problem(f"a key must be text, but '{key.value}' is {kind}", place, f"quote it: '{key.value}'")
        if key.value in places:
            first = places[key.value].line + 1
            return Problem(f"the key '{key.value}' stands in line {first} too", place, "remove or rename one of them")
        return None

    def _merge_key(self, child: Node, mark: Mark) -> Node:
        """What `<<` brings into a mapping: of several mappings, the first wins (https://yaml.org/type/merge.html)."""
        bases = child.value if isinstance(child.value, list) else [child]
        merged = Node({}, mark)
        for base in reversed(bases):
            if not isinstance(base.value, dict):
                fault = Problem(f"'<<' takes mappings, but here stands {base.kind}", base.mark, "write '<<: *anchor'")
                self._problems.append(fault)
                continue
            self._merged += len(base.value)
            check_limits(self._merged, 1, mark, self._problems)
            merged = Node(merged.mapping() | base.value, mark, merged.keys | base.keys)
        return merged

    def _mark(self, written: YamlNode) -> Mark:
        # PyYAML counts an anchor as part of the value, but a caret belongs under the value.
        at, end = written.start_mark, written.end_mark.index
        anchor = _ANCHOR.match(self._text, at.index, end)
        *above, last = ((anchor[0] if anchor else "") + ".").splitlines()
        line, column = at.line + len(above), len(last) - 1 + (0 if above else at.column)
        width = 1
        if isinstance(written, ScalarNode) and written.style not in ("|", ">"):
            first_line = (self._text[anchor.end() if anchor else at.index : end] or " ").splitlines()[0]
            width = max(1, len(first_line.rstrip()))
        return Mark(self._source, line, column, width)
