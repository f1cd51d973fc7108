"""YAML text to PyYAML's graph of nodes, within limits, with every fault put in plain words.

No tag constructs anything, and no text, however hostile, costs more than the limits.
"""

from __future__ import annotations

import re
from typing import Any

from yaml import Mark as YamlMark  # type: ignore[import-untyped]
from yaml import MarkedYAMLError
from yaml.composer import Composer  # type: ignore[import-untyped]
from yaml.events import AliasEvent, ScalarEvent, StreamEndEvent  # type: ignore[import-untyped]
from yaml.nodes import Node as YamlNode  # type: ignore[import-untyped]
from yaml.nodes import ScalarNode
from yaml.parser import Parser  # type: ignore[import-untyped]
from yaml.reader import Reader, ReaderError  # type: ignore[import-untyped]
from yaml.resolver import BaseResolver  # type: ignore[import-untyped]
from yaml.scanner import Scanner  # type: ignore[import-untyped]

from ganforge.errors import Mark, Problem, RecipeError, Source, suggest

_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_NODES = 100_000  # counted with every alias written out


def compose(text: str, source: Source) -> tuple[YamlNode | None, list[Problem]]:
    """The graph of a text's only document (nothing for an empty text), and the problems that left it readable.

    `text` is the source's, in which the places that are not YAML may be blanked.

    Raises:
        RecipeError: the text is no YAML, or beyond the limits.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise RecipeError([too_large(source.name)])
    try:
        composer = _Composer(text, source)
    except ReaderError as error:
        *above, last = (text[: error.position] + ".").splitlines()
        message = f"the character U+{error.character:04X} may not stand in YAML"
        mark = Mark(source, len(above), len(last) - 1)
        raise RecipeError([Problem(message, mark, 'write it as an escape in double quotes: "\\u1234"')]) from None
    return composer.document(), composer.problems


def too_large(name: str) -> Problem:
    """The problem of a source that is larger than `MAX_BYTES`."""
    return Problem(f"'{name}' is larger than 1 MiB", cure="a recipe is a page of YAML; keep data in files of their own")


def check_limits(values: int, levels: int, mark: Mark, problems: list[Problem]) -> None:
    """Refuse a value of too many values or levels.

    Raises:
        RecipeError: a limit is passed; it holds the problems so far as well.
    """
    if values > MAX_NODES:
        fault = Problem(f"more than {MAX_NODES:,} values, aliases written out", mark, "keep data in files of their own")
        raise RecipeError([*problems, fault])
    if levels > MAX_DEPTH:
        raise RecipeError([*problems, Problem(f"more than {MAX_DEPTH} levels, one in the other", mark, "flatten them")])


class _Composer(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's graph of nodes, without tags and within the limits."""

    def __init__(self, text: str, source: Source) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self.source = source
        self.problems: list[Problem] = []
        self._open: list[str | None] = []  # the anchors of the nodes around this one
        self._count = 0

    def document(self) -> YamlNode | None:
        """The only document's root; nothing for an empty text."""
        try:
            root = self.get_node() if self.check_node() else None
            if not self.check_event(StreamEndEvent):
                self._note("a second document starts here", self.peek_event().start_mark, "one file is one recipe")
        except MarkedYAMLError as error:
            raise RecipeError([*self.problems, _in_plain_words(error, self.source)]) from None
        except (ValueError, OverflowError):  # PyYAML hands any code point to chr()
            self._note("the escape ends in no character", self.get_mark(), "the last character is \\U0010ffff")
            raise RecipeError(self.problems) from None
        return root

    def compose_node(self, parent: YamlNode | None, index: Any) -> YamlNode:
        event = self.peek_event()
        if isinstance(event, AliasEvent):
            if fault := self._alias_fault(event):
                self.problems.append(fault)
                self.get_event()
                return ScalarNode("", "", event.start_mark, event.end_mark)
        elif event.tag is not None:
            self._note("recipes take no tags", event.start_mark, "remove the '!...'; put text that starts so in quotes")
        elif isinstance(event, ScalarEvent) and _SURROGATE.search(event.value):
            self._note("an escape in this text is half a character", event.start_mark, "write all of it: \\U0001f3a8")
        self._open.append(event.anchor)
        self._count += 1
        check_limits(self._count, len(self._open), _mark(event.start_mark, self.source), self.problems)
        node = super().compose_node(parent, index)
        self._open.pop()
        return node

    def _alias_fault(self, event: AliasEvent) -> Problem | None:
        mark = _mark(event.start_mark, self.source, event.end_mark.index - event.start_mark.index)
        if event.anchor in self._open:
            return Problem(f"the alias '*{event.anchor}' stands inside its own anchor", mark, "write the values out")
        if event.anchor not in self.anchors:
            cure = suggest(event.anchor, self.anchors, f"mark a value above with '&{event.anchor}'")
            return Problem(f"unknown alias '*{event.anchor}'", mark, cure)
        return None

    def _note(self, message: str, mark: YamlMark, cure: str) -> None:
        self.problems.append(Problem(message, _mark(mark, self.source), cure))


def _mark(mark: YamlMark, source: Source, width: int = 1) -> Mark:
    return Mark(source, mark.line, mark.column, width)


# What PyYAML says, what a reader of recipes is told, and the cure.
_PLAIN_WORDS = {
    "found character '\\t'": ("a tab stands where YAML wants spaces", "indent with spaces"),
    "found character": ("a value cannot start with this character", "put the value in quotes"),
    "mapping values are not allowed": (
        "a ':' stands where no key can end",
        "put text that holds ': ' in quotes, or check the indentation",
    ),
    "could not find expected ':'": ("this line is neither 'key: value' nor '- value'", "write a ': ' after the key"),
    "found unexpected end of stream": ("the quote that opens here is never closed", "close it"),
    "expected ',' or ']'": ("a ',' or ']' is missing before this", "close the list that opens in line {line}"),
    "expected ',' or '}'": ("a ',' or '}' is missing before this", "close the mapping that opens in line {line}"),
    "expected <block end>": (
        "this does not continue the block of line {line}",
        "check the indentation, and quotes that end too early",
    ),
    "expected '<document start>'": ("this stands after the end of the value", "put the whole value in quotes"),
    "expected the node content": ("a value is missing before this", "write the value, or null"),
    "expected alphabetic or numeric": ("'&' and '*' name an anchor and its alias", "put text that starts so in quotes"),
    "sequence entries are not allowed": ("no list entry can stand here", "put the entries on lines below the key"),
    "found unknown escape character": ("unknown escape in double quotes", "write \\\\ for a backslash"),
    "found undefined tag handle": ("recipes take no tags", "remove the '!...'; put text that starts so in quotes"),
    "second occurrence": ("this anchor stands in line {line} too", "give each anchor a name of its own"),
}
_AT_CONTEXT = ("could not find expected ':'", "found unexpected end of stream")


def _in_plain_words(error: MarkedYAMLError, source: Source) -> Problem:
    at = error.context_mark if str(error.problem).startswith(_AT_CONTEXT) else error.problem_mark
    mark = _mark(at or error.context_mark, source)
    for beginning, (message, cure) in _PLAIN_WORDS.items():
        if str(error.problem).startswith(beginning):
            line = error.context_mark.line + 1 if error.context_mark else mark.line + 1
            return Problem(message.replace("{line}", str(line)), mark, cure.replace("{line}", str(line)))
    return Problem(f"not valid YAML: {error.problem}", mark)
