"""From marked nodes to a checked recipe: every fault is collected, none stops the reading."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import ValidationError

from ganforge.errors import Mark, Problem, RecipeError, suggest
from ganforge.parts import Dataset
from ganforge.recipe import model
from ganforge.recipe.expressions import ExpressionFault, parse_expression
from ganforge.recipe.nodes import Node
from ganforge.recipe.scope import check_scope
from ganforge.registry import Part, Registry, UnknownPart
from ganforge.signature import Fault, faults, is_sequence

SECTIONS = ("data", "networks", "ops", "schedules", "signals", "players", "phases", "metrics", "callbacks", "run", "requires")
REQUIRED = ("data", "networks", "players", "phases", "run")

S = TypeVar("S", bound=model.Settings)


def read_recipe(node: Node, registry: Registry, name: str) -> model.Recipe:
    """The recipe that these nodes describe.

    Raises:
        RecipeError: with all faults that can be told without running it.
    """
    reader = _Reader(registry)
    recipe = reader.recipe(node, name)
    if recipe is not None:
        problems, warnings = check_scope(recipe, reader.dataset)
        reader.problems += problems
        recipe = replace(recipe, warnings=tuple(warnings))
    if reader.problems or recipe is None:
        raise RecipeError(reader.problems)
    return recipe


@dataclass
class _Reader:
    registry: Registry
    problems: list[Problem] = field(default_factory=list)
    dataset: Dataset | None = None

    def fault(self, message: str, mark: Mark, cure: str = "") -> None:
        self.problems.append(Problem(message, mark, cure))

    # The recipe as a whole

    def recipe(self, root: Node, name: str) -> model.Recipe | None:
        sections = self.mapping(root, "a recipe")
        for key in sections:
            if key not in SECTIONS:
                self.fault(f"a recipe has no key '{key}'; {suggest(key, SECTIONS)}", root.keys[key])
        for key in REQUIRED:
            if key not in sections:
                self.fault(f"the recipe lacks the key '{key}'", root.mark, "`ganforge cp` copies a whole recipe to start from")
        if not isinstance(root.value, dict):
            return None
        self.requirements(sections.get("requires"))
        schedules = {k: u for k, n in self.section(sections, "schedules") if (u := self.use("schedules", n))}
        data, loader = self.data(sections.get("data"))
        run_node = sections.get("run")
        run = self.settings(model.RunSettings, run_node, "run") if run_node else None
        if run and run_node and run.epochs is None and run.steps is None:
            self.fault("the run has no length", run_node.mark, "give run.epochs or run.steps")
        recipe = model.Recipe(
            name=name,
            node=root,
            data=data,  # type: ignore[arg-type]  # None only where a problem was noted
            loader=loader or model.LoaderSettings(),
            dataset=self.dataset,  # type: ignore[arg-type]
            networks={k: u for k, n in self.section(sections, "networks") if (u := self.network(n))},
            ops={k: u for k, n in self.section(sections, "ops") if (u := self.use("ops", n))},
            schedules=schedules,
            signals={k: w for k, n in self.section(sections, "signals") if (w := self.expression(n))},
            players={k: p for k, n in self.section(sections, "players") if (p := self.player(k, n))},
            phases=self.phases(sections.get("phases"), schedules),
            metrics=tuple(m for k, n in self.section(sections, "metrics") if (m := self.metric(k, n))),
            callbacks={k: self.use("callbacks", n) if n.value is not None else None for k, n in self.section(sections, "callbacks")},
            run=run or model.RunSettings(),
            images=self.images(run_node),
            functions={part.name: part for part in self.registry.of("ops") if not isinstance(part.factory, type)},
        )
        return recipe

    def requirements(self, node: Node | None) -> None:
        for item in self.items(node, "requires"):
            try:
                requirement = Requirement(str(item.value))
                installed = version(requirement.name)
            except InvalidRequirement:
                self.fault(f"'{item.value}' is not a requirement", item.mark, "write it as pip does: ganforge-cyclegan>=0.1")
            except PackageNotFoundError:
                self.fault(f"this recipe requires {requirement}, which is not installed", item.mark, f"pip install '{requirement}'")
            else:
                if installed not in requirement.specifier:
                    cure = f"pip install --upgrade '{requirement}'"
                    self.fault(f"this recipe requires {requirement}; {installed} is installed", item.mark, cure)

    # Sections

    def data(self, node: Node | None) -> tuple[model.PartUse | None, model.LoaderSettings | None]:
        if node is None:
            return None, None
        reserved = {k: n for k, n in self.mapping(node, "data").items() if k in model.LoaderSettings.model_fields}
        loader = self.settings(model.LoaderSettings, Node(reserved, node.mark, node.keys), "data")
        use = self.use("datasets", node, reserved)
        if use is not None:
            self.dataset = self.construct(use)
        return use, loader

    def construct(self, use: model.PartUse) -> Any:
        try:
            return use.part.factory(**use.options)
        except (ValueError, TypeError) as error:
            self.fault(f"{use.part.name}: {error}", use.mark)
            return None

    def network(self, node: Node) -> model.PartUse | None:
        frozen = self.mapping(node, "a network").get("frozen") if isinstance(node.value, dict) else None
        if frozen is not None and not isinstance(frozen.value, bool):
            self.fault("'frozen' should be true or false", frozen.mark)
        use = self.use("networks", node, ("frozen",))
        return use and model.PartUse(use.part, use.options, use.mark, frozen=bool(frozen and frozen.value))

    def player(self, name: str, node: Node) -> model.PlayerUse | None:
        entries = self.mapping(node, f"player '{name}'")
        optimizer_node, schedule_node = entries.get("optimizer"), entries.get("schedule")
        rest = {k: n for k, n in entries.items() if k not in ("optimizer", "schedule")}
        settings = self.settings(model.PlayerSettings, Node(rest, node.mark, node.keys), f"player '{name}'", ("optimizer", "schedule"))
        if optimizer_node is None:
            self.fault(f"player '{name}' has no optimizer", node.mark, "for example: optimizer: {type: adam, lr: 2e-4}")
        optimizer = self.use("optimizers", optimizer_node) if optimizer_node else None
        schedules = tuple(u for n in _one_or_many(schedule_node) if (u := self.use("schedules", n)))
        if settings is None or optimizer is None:
            return None
        marks = dict(zip(settings.networks, (n.mark for n in self.items(entries["networks"], "networks")), strict=False))
        return model.PlayerUse(name, settings, optimizer, schedules, marks, node.mark)

    def phases(self, node: Node | None, schedules: Mapping[str, model.PartUse]) -> tuple[model.PhaseUse, ...]:
        phases: list[model.PhaseUse] = []
        for item in self.items(node, "phases"):
            entries = self.mapping(item, "a phase")
            losses_node = entries.get("losses")
            rest = Node({k: n for k, n in entries.items() if k != "losses"}, item.mark, item.keys)
            settings = self.settings(model.PhaseSettings, rest, "a phase", ("losses",))
            losses = [u for k, n in self.section(entries, "losses") if (u := self.loss(k, n, schedules))]
            if losses_node is None or not losses_node.value:
                self.fault("the phase has no losses", item.mark, "a phase trains a player on one loss or more")
            if settings is not None:
                same = sum(phase.train == settings.train for phase in phases)
                name = f"{settings.train}_{same + 1}" if same else settings.train
                mark = entries["train"].mark
                phases.append(model.PhaseUse(name, settings.train, tuple(losses), settings.every, mark))
        return tuple(phases)

    def loss(self, name: str, node: Node, schedules: Mapping[str, model.PartUse]) -> model.LossUse | None:
        entries = self.mapping(node, f"loss '{name}'")
        weight_node, every_node = entries.get("weight"), entries.get("every")
        weight: float | model.PartUse | None = 1.0
        if weight_node is not None:
            weight = self.weight(weight_node, schedules)
        every = 1
        if every_node is not None:
            every = every_node.value if type(every_node.value) is int and every_node.value >= 1 else 0  # type: ignore[assignment]
            if not every:
                self.fault("'every' should be a whole number of steps, 1 or more", every_node.mark)
        use, inputs = self.bound_use("losses", node, ("weight", "every"))
        return model.LossUse(name, use, inputs, weight, every) if use and weight is not None else None

    def weight(self, node: Node, schedules: Mapping[str, model.PartUse]) -> float | model.PartUse | None:
        value = node.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, dict):
            return self.use("schedules", node)
        if isinstance(value, str) and value in schedules:
            return schedules[value]
        known = f" or the name of a schedule ({', '.join(schedules)})" if schedules else ""
        self.fault("a weight should be a number, a schedule such as {type: ramp, end: 1, steps: 1000}" + known, node.mark)
        return None

    def metric(self, name: str, node: Node) -> model.MetricUse | None:
        use, inputs = self.bound_use("metrics", node, ())
        return model.MetricUse(name, use, inputs) if use else None

    def images(self, node: Node | None) -> tuple[model.Written, ...]:
        entries = node.value if node and isinstance(node.value, dict) else {}
        image_nodes = self.items(entries.get("images"), "images")
        return tuple(w for n in image_nodes if isinstance(n.value, str) and (w := self.expression(n)))

    # Parts

    def use(self, kind: str, node: Node, reserved: Collection[str] = ()) -> model.PartUse | None:
        """`{type: adam, lr: 2e-4}`, or just `adam`."""
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
        if found is None or not isinstance(node.value, dict):
            return None, {}
        part, mark = found
        inputs: dict[str, model.Bound] = {}
        complete = True
        for parameter in part.signature.inputs:
            if parameter.name in node.value:
                bound = self.bind(node.value[parameter.name], is_sequence(parameter.annotation))
                complete &= bound is not None
                if bound is not None:
                    inputs[parameter.name] = bound
            elif parameter.required:
                complete = False
                cure = f"it takes: {part.signature}"
                self.fault(f"{part.name} needs the input '{parameter.name}': an expression over signals", mark, cure)
        names = {parameter.name for parameter in part.signature.inputs}
        use = self.use(kind, node, {*reserved, *names})
        return (use if complete else None), inputs

    def bind(self, node: Node, sequence: bool) -> model.Bound | None:
        if isinstance(node.value, list) and sequence:
            items = [self.expression(item) for item in node.value]
            return tuple(item for item in items if item) if all(items) else None
        return self.expression(node)

    def part(self, kind: str, node: Node) -> tuple[Part, Mark] | None:
        named = node.value.get("type") if isinstance(node.value, dict) else node
        if named is None or not isinstance(named.value, str):
            example = next((part.name for part in self.registry.of(kind)), "name")
            self.fault("this needs a 'type': the name of a part", (named or node).mark, f"for example: {{type: {example}}}")
            return None
        try:
            return self.registry.find(kind, named.value), named.mark
        except UnknownPart as unknown:
            message, cure = unknown.args
            self.fault(message, named.mark, cure)
            return None

    def options(self, part: Part, node: Node, known: Iterable[str]) -> dict[str, Any] | None:
        """The options in the part's types; `known` are other keys that a misspelt one may have meant."""
        values, found = part.signature.check(node.plain())
        takes = f"it takes: {part.signature}"
        for fault in found:
            self.option_fault(fault, node, part.name, {o.name for o in part.signature.options} | set(known), takes)
        return None if found else values

    def settings(self, form: type[S], node: Node, what: str, known: Collection[str] = ()) -> S | None:
        """Settings of a fixed form."""
        try:
            # Through JSON, where strict types still let a list become a tuple.
            return form.model_validate_json(_json(self.mapping(node, what)))
        except ValidationError as error:
            for fault in faults(error):
                self.option_fault(fault, node, what, {*form.model_fields, *known}, "")
            return None

    def option_fault(self, fault: Fault, node: Node, what: str, names: Collection[str], takes: str) -> None:
        name = fault.path[0]
        if fault.kind == "unknown" and len(fault.path) == 1:
            near = suggest(str(name), names)
            near = f"; {near}" if near.startswith("did") or not takes else ""
            self.fault(f"{what} takes no option '{name}'{near}", node.keys.get(str(name), node.mark), takes)
        elif fault.kind == "missing" and len(fault.path) == 1:
            self.fault(f"{what} needs the option '{name}'", node.mark, takes)
        else:
            path = ".".join(map(str, fault.path))
            self.fault(f"{what}: '{path}' {fault.message[0].lower()}{fault.message[1:]}", node.at(fault.path).mark, takes)

    # Nodes

    def expression(self, node: Node) -> model.Written | None:
        if isinstance(node.value, dict | list) or node.value is None:
            self.fault("this should be an expression such as G_ab(real_a)", node.mark)
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


def _one_or_many(node: Node | None) -> list[Node]:
    if node is None or node.value is None:
        return []
    return node.value if isinstance(node.value, list) else [node]


def _json(entries: Mapping[str, Node]) -> str:
    return json.dumps({key: node.plain() for key, node in entries.items()})
