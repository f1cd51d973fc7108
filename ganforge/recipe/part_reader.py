"""Reading how a recipe uses parts: their names, options and expressions, every fault with its place."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from ganforge.errors import Mark, Problem, misspelt, nearest
from ganforge.plugins.option_faults import Fault, faults
from ganforge.plugins.registry import BUILT_IN, SINGULAR, Part, Registry, UnknownPart
from ganforge.plugins.signature import Parameter, is_sequence
from ganforge.recipe import model
from ganforge.recipe.expressions import ExpressionFault, parse_expression
from ganforge.recipe.nodes import Node, scalar

S = TypeVar("S", bound=model.Settings)


@dataclass
class PartReader:
    """Reads nodes and notes their faults; what is faulty reads as None, and the reading goes on."""

    registry: Registry
    problems: list[Problem] = field(default_factory=list)

    def fault(self, message: str, mark: Mark, cure: str = "") -> None:
        """Note a fault."""
        self.problems.append(Problem(message, mark, cure))

    # Parts

    def use(self, kind: str, node: Node, reserved: Collection[str] = ()) -> model.PartUse | None:
        """Read a part: `{type: adam, lr: 2e-4}`, or just `adam`."""
        found = self.part(kind, node)
        if found is None:
            return None
        part, mark = found
        entries = node.value if isinstance(node.value, dict) else {}
        options = {k: n for k, n in entries.items() if k != "type" and k not in reserved}
        checked = self.options(part, Node(options, mark, node.keys), known=reserved)
        return None if checked is None else model.PartUse(part, checked, mark)

    def bound_use(
        self, kind: str, node: Node, reserved: Collection[str]
    ) -> tuple[model.PartUse | None, dict[str, model.Bound]]:
        """A part some of whose parameters are bound to expressions."""
        found = self.part(kind, node)
        if found is None:
            return None, {}
        part, mark = found
        entries = node.value if isinstance(node.value, dict) else {}
        inputs: dict[str, model.Bound] = {}
        missing: list[str] = []
        for parameter in part.signature.inputs:
            if parameter.name in entries:
                bound = self.bind(entries[parameter.name], parameter, part)
                if bound is not None:
                    inputs[parameter.name] = bound
            elif parameter.required and parameter.name not in map(partial(_meant, part), entries):
                missing.append(f"'{parameter.name}'")
        if missing:
            message = f"{part.name} needs the input{'s' * (len(missing) > 1)} {' and '.join(missing)}"
            how = "tensors are given as expressions, for example G_ab(real_a)"
            self.fault(message, mark, f"it takes: {part.signature}\n{how}")
        names = {parameter.name for parameter in part.signature.inputs}
        use = self.use(kind, node, {*reserved, *names})
        complete = all(p.name in inputs for p in part.signature.inputs if p.required or p.name in entries)
        return (use if complete else None), inputs

    def bind(self, node: Node, parameter: Parameter, part: Part) -> model.Bound | None:
        if not isinstance(node.value, list):
            return self.expression(node)
        if not is_sequence(parameter.annotation):
            self.fault(f"'{parameter.name}' of {part.name} takes one expression, not a list", node.mark)
            return None
        items = [self.expression(item) for item in node.value]
        return tuple(item for item in items if item) if all(items) else None

    def part(self, kind: str, node: Node) -> tuple[Part, Mark] | None:
        named = node.value.get("type") if isinstance(node.value, dict) else node
        if named is None or not isinstance(named.value, str):
            known = sorted(self.registry.of(kind), key=lambda part: part.plugin != BUILT_IN)
            example = f"for example type: {known[0].name}; " if known else ""
            message = f"this {SINGULAR[kind]} has no 'type', the name of a part"
            self.fault(message, (named or node).mark, f"{example}`ganforge parts {kind}` lists all")
            return None
        try:
            return self.registry.find(kind, named.value), named.mark
        except UnknownPart as unknown:
            self.fault(unknown.message, named.mark, unknown.cure)
            return None

    def options(self, part: Part, node: Node, known: Iterable[str]) -> dict[str, Any] | None:
        """The options in the part's types; `known` are other keys that a misspelt one may have meant."""
        values, found = part.signature.check(node.plain())
        options = {option.name: f"it takes {option}" for option in part.signature.options}
        # What was not given may have been given under a name misspelt.
        meant = {nearest(str(fault.path[0]), options) for fault in found if fault.kind == "unknown"}
        for fault in found:
            if fault.kind != "missing" or fault.path[0] not in meant:
                names = dict.fromkeys(known, "") | {p.name: "" for p in part.signature.inputs} | options
                self.option_fault(fault, node, part.name, names, f"it takes: {part.signature}")
        return None if found or not self.one_of_each(part, node) else values

    def one_of_each(self, part: Part, node: Node) -> bool:
        """Whether exactly one is given of the options that say one thing in several ways; or else a fault is noted."""
        sound = True
        for group in part.one_of:
            given = [name for name in node.keys if name in group]
            quoted = [f"'{name}'" for name in given or group]
            named = f"{', '.join(quoted[:-1])} and {quoted[-1]}"
            if len(given) > 1:
                message = f"{named} of {part.name} say one thing in several ways"
                self.fault(message, node.keys[given[1]], "give one; null removes the other")
            elif not given:
                self.fault(f"{part.name} needs one of the options {named}", node.mark, f"it takes: {part.signature}")
            sound = sound and len(given) == 1
        return sound

    def settings(self, form: type[S], node: Node, what: str, known: Collection[str] = ()) -> S | None:
        """Settings of a fixed form."""
        try:
            # Through JSON, where strict types still let a list become a tuple.
            given = {key: child.plain() for key, child in self.mapping(node, what).items()}
            return form.model_validate_json(json.dumps(given))
        except ValidationError as error:
            for fault in faults(error):
                self.option_fault(fault, node, what, dict.fromkeys((*form.model_fields, *known), ""))
            return None

    def option_fault(
        self, fault: Fault, node: Node, what: str, names: Mapping[str, str], takes: str | None = None
    ) -> None:
        """An option that does not fit; `names` are those that do, each with what it takes, `takes` is all of that."""
        name, path = str(fault.path[0]), ".".join(map(str, fault.path))
        if fault.kind == "unknown":
            place = node.at(fault.path[:-1]).keys.get(str(fault.path[-1]), node.mark)
            known, cure = (names, takes) if len(fault.path) == 1 else ((), "")
            self.problems.append(misspelt(f"{what} takes no option '{path}'", name, known, place, cure))
        elif fault.kind == "missing":
            self.fault(f"{what} needs the option '{path}'", node.mark, takes or "")
        else:
            at = node.at(fault.path)
            quoted = isinstance(at.value, str) and not isinstance(scalar(at.value), str)
            # The message says all about one value; a list's entries want more.
            takes = names.get(name, "") if isinstance(node.at(fault.path[:1]).value, list) else ""
            cure = "write it without quotes" if quoted else takes
            self.fault(f"'{path}' of {what} {fault.message}", at.mark, cure)

    # Nodes

    def expression(self, node: Node) -> model.Written | None:
        if isinstance(node.value, dict | list) or node.value is None:
            there = "an expression is missing" if node.value is None else f"here stands {node.kind}, not an expression"
            self.fault(there, node.mark, "for example G_ab(real_a)")
            return None
        text = node.value if isinstance(node.value, str) else str(node.value)
        try:
            return model.Written(parse_expression(text), node.content_mark)
        except ExpressionFault as fault:
            self.fault(fault.message, node.content_mark.shifted(fault.column, fault.width), fault.cure)
            return None

    def mapping(self, node: Node, what: str) -> dict[str, Node]:
        if isinstance(node.value, dict):
            return node.value
        self.fault(f"{what} should be a mapping of keys to values", node.mark)
        return {}

    def section(self, sections: Mapping[str, Node], name: str) -> list[tuple[str, Node]]:
        node = sections.get(name)
        return list(self.mapping(node, f"'{name}'").items()) if node is not None and node.value is not None else []

    def items(self, node: Node | None, what: str) -> list[Node]:
        if node is None or node.value is None:
            return []
        if isinstance(node.value, list):
            return node.value
        self.fault(f"'{what}' should be a list", node.mark)
        return []


def _meant(part: Part, name: str) -> str | None:
    """The input or option that a key of a part must mean."""
    names = [parameter.name for parameter in (*part.signature.inputs, *part.signature.options)]
    return name if name in names else nearest(name, names)
