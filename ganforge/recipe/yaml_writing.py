"""A tree of nodes as YAML, which `nodes.parse` reads back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from ganforge.recipe.nodes import Node, scalar


def dump(node: Node, origins: bool = False) -> str:
    """Write YAML that `parse` reads back to the same data, keys in order, aliases written out, leaf mappings on a line.

    With `origins`, each line that holds a value ends in a comment: the file and line that the value comes from.
    """
    block = isinstance(node.value, dict) and node.value
    lines = _entries(node, 120, origins) if block else _lines(node, "", 120, origins)
    return "".join(f"{line}\n" for line in lines)


def _lines(node: Node, head: str, width: int, origins: bool) -> Iterator[str]:
    """The lines of a value behind its head, which is `key:` or, in a list, nothing."""
    line = f"{head} {inline(node)}".lstrip() if _is_leaf(node) else ""
    if line and (not node.children or (len(line) <= width and not (origins and len(_origins(node)) > 1))):
        yield f"{line}  # {_origins(node).pop()}" if origins else line
        return
    if head:
        yield head
    for entry in _entries(node, width - 2, origins):
        yield f"  {entry}" if head else entry


def _entries(node: Node, width: int, origins: bool) -> Iterator[str]:
    """The lines of a mapping's or list's entries, each on lines of its own."""
    if isinstance(node.value, dict):
        for name, child in node.value.items():
            yield from _lines(child, f"{_flow_text(name)}:", width, origins)
    for child in node.value if isinstance(node.value, list) else ():
        first, *others = _lines(child, "", width - 2, origins)
        yield f"- {first}"
        yield from (f"  {line}" for line in others)


def _is_leaf(node: Node) -> bool:
    """Whether the value reads well on one line: no mapping in it, and at most lists of scalars."""
    return all(
        not child.children or (isinstance(child.value, list) and not any(item.children for item in child.value))
        for child in node.children
    )


def _origins(node: Node) -> set[str]:
    if not node.children:
        return {f"{node.mark.source.name}:{node.mark.line + 1}"}
    return set().union(*map(_origins, node.children))


def inline(node: Node) -> str:
    """The value on one line, as an override of the command line has it."""
    match node.value:
        case dict():
            return "{" + ", ".join(f"{_flow_text(name)}: {inline(child)}" for name, child in node.value.items()) + "}"
        case list():
            return "[" + ", ".join(map(inline, node.value)) + "]"
        case str():
            return _flow_text(node.value)
        case float():
            return repr(node.value).replace("inf", ".inf").replace("nan", ".nan")
    return json.dumps(node.value)


# Text that needs no quotes anywhere, in any YAML; all other text is quoted.
_UNQUOTED = re.compile(r"(?:[A-Za-z_/]|\.\.?/)[\w./()+*=<>@%-]*(?: [\w./()+*=<>@%-]+)*", re.ASCII)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def _flow_text(text: str) -> str:
    if _UNQUOTED.fullmatch(text) and isinstance(scalar(text), str):
        return text
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\U{ord(c):08x}") for c in text) + '"'
