"""Marked nodes become a checked recipe: every fault is collected, none stops the reading."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement
from torch import Tensor

from ganforge.api.context import Progress
from ganforge.api.datasets import Dataset
from ganforge.errors import Mark, Problem, RecipeError, misspelt, nearest
from ganforge.failures.blame import blame
from ganforge.plugins.registry import RESERVED, Part, Registry, UnknownPart
from ganforge.recipe import model
from ganforge.recipe.augment_reader import read_augmentations
from ganforge.recipe.building import Watched, bind_schedule, build, refusal
from ganforge.recipe.name_checks import check_scope
from ganforge.recipe.nodes import Node
from ganforge.recipe.part_reader import PartReader

SECTIONS = tuple(name for name in model.SECTIONS if name != "extends")
"""Those of a recipe that was laid on what it extends."""
BEGINNING = Progress(0, 100, 1000)
"""The progress at which schedules are tried, and take the number that they begin with."""


def read_recipe(node: Node, registry: Registry, name: str) -> model.Recipe:
    """The recipe that these nodes describe.

    Raises:
        RecipeError: with all faults that can be told without running it.
    """
    reader = _Reader(registry)
    recipe = reader.recipe(node, name)
    if recipe is not None:
        problems, warnings = check_scope(recipe, reader.dataset, whole=not reader.problems)
        reader.problems += problems
        recipe = replace(recipe, warnings=(*reader.warnings, *warnings))
    if reader.problems or recipe is None:
        raise RecipeError(reader.problems)
    return recipe


@dataclass
class _Reader(PartReader):
    dataset: Dataset | None = None
    warnings: list[Problem] = dataclasses.field(default_factory=list)

    # The recipe as a whole

    def recipe(self, root: Node, name: str) -> model.Recipe | None:
        root = self.corrected(root)
        # A section in which nothing stands is none: its key was left over.
        sections = {k: n for k, n in self.mapping(root, "a recipe").items() if n.value not in (None, {})}
        if not isinstance(root.value, dict):
            return None
        if lacking := [f"'{key}'" for key in model.REQUIRED if key not in sections]:
            message = f"{root.mark.source.name}: the recipe lacks {' and '.join(lacking)}"
            self.problems.append(Problem(message, cure="`ganforge cp` copies a whole recipe to start from"))
        self.requirements(sections.get("requires"))
        schedules = {k: u for k, n in self.section(sections, "schedules") if (u := self.schedule(n))}
        data, loader = self.data(sections.get("data"))
        augment, warnings = read_augmentations(self, _of_data(sections, "augment"), self.dataset)
        self.warnings += warnings
        run_node = sections.get("run")
        run = self.settings(model.RunSettings, run_node, "run") if run_node else None
        if run and run_node and run.epochs is None and run.steps is None:
            self.fault("the run has no length", run_node.mark, "give run.epochs or run.steps")
        return model.Recipe(
            name=name,
            node=root,
            data=data,  # type: ignore[arg-type]  # None only where a problem was noted
            loader=loader or model.LoaderSettings(),
            dataset=self.dataset,  # type: ignore[arg-type]
            networks={k: u for k, n in self.section(sections, "networks") if (u := self.network(n))},
            ops={k: u for k, n in self.section(sections, "ops") if (u := self.use("ops", n))},
            schedules=schedules,
            signals={k: w for k, n in self.section(sections, "signals") if (w := self.expression(n))},
            players={k: p for k, n in self.section(sections, "players") if (p := self.player(k, n, schedules))},
            phases=self.phases(sections, schedules),
            metrics=tuple(m for k, n in self.section(sections, "metrics") if (m := self.metric(k, n))),
            callbacks={
                k: self.use("callbacks", n) if n.value is not None else None
                for k, n in self.section(sections, "callbacks")
            },
            run=run or model.RunSettings(),
            images=self.images(run_node),
            augment=augment,
            functions=self.functions(),
        )

    def functions(self) -> dict[str, Part]:
        """Function ops by every name that an expression may call them by."""
        parts = [part for part in self.registry.of("ops") if not isinstance(part.factory, type)]
        named = {part.full_name: part for part in parts}
        for part in parts:
            with suppress(UnknownPart):  # of two plugins' ops with one name, expressions give the full ones
                named[part.name] = self.registry.find("ops", part.name)
        return named

    def corrected(self, root: Node) -> Node:
        """The recipe with misspelt keys read as what they must mean: one fault must not cause others."""
        entries, keys = dict(self.mapping(root, "a recipe")), dict(root.keys)
        for key in [key for key in entries if key not in SECTIONS]:
            self.problems.append(misspelt(f"a recipe has no key '{key}'", key, SECTIONS, keys[key]))
            meant = nearest(key, SECTIONS)
            if meant is not None and meant not in entries:
                entries[meant], keys[meant] = entries.pop(key), keys.pop(key)
        return Node(entries, root.mark, keys) if isinstance(root.value, dict) else root

    def requirements(self, node: Node | None) -> None:
        for item in self.items(node, "requires"):
            try:
                requirement = Requirement(str(item.value))
                installed = version(requirement.name)
            except InvalidRequirement:
                self.fault(f"'{item.value}' is not a requirement", item.mark, "write it as pip does: my-losses>=0.1")
            except PackageNotFoundError:
                message = f"this recipe requires {requirement}, which is not installed"
                self.fault(message, item.mark, f"pip install '{requirement}'")
            else:
                if installed not in requirement.specifier:
                    cure = f"pip install --upgrade '{requirement}'"
                    self.fault(f"this recipe requires {requirement}; {installed} is installed", item.mark, cure)

    # Sections

    def data(self, node: Node | None) -> tuple[model.PartUse | None, model.LoaderSettings | None]:
        if node is None:
            return None, None
        own = {k: n for k, n in self.mapping(node, "data").items() if k in model.LoaderSettings.model_fields}
        loader = self.settings(model.LoaderSettings, Node(own, node.mark, node.keys), "data")
        use = self.use("datasets", node, RESERVED["datasets"])
        if use is not None:
            self.dataset = self.construct(use, node)
            if loader and loader.on_bad_file == "skip" and self.dataset is not None:
                with suppress(AttributeError):  # of one that takes no attributes, each sample still can be skipped
                    self.dataset.skips_bad = True
        return use, loader

    def construct(self, use: model.PartUse, node: Node) -> Dataset | None:
        try:
            return Watched(build(use), use)
        except RecipeError as refused:
            self.problems += [self._at_option(use, node, problem) for problem in refused.problems]
        except Exception as error:
            self.problems.append(refusal(error, use))
        return None

    def _at_option(self, use: model.PartUse, node: Node, problem: Problem) -> Problem:
        """The problem of a dataset at the option that it speaks of."""
        said = f"{problem.message} {problem.cure.partition(chr(10))[0]}"
        blamed = [name for name in node.keys if name in use.options and re.search(rf"\b{name}\b", said)]
        return replace(problem, mark=node.keys[blamed[0]]) if blamed else problem

    def network(self, node: Node) -> model.PartUse | None:
        frozen = self.mapping(node, "a network").get("frozen") if isinstance(node.value, dict) else None
        if frozen is not None and not isinstance(frozen.value, bool):
            self.fault("'frozen' should be true or false", frozen.mark)
        use = self.use("networks", node, ("frozen",))
        return use and model.PartUse(use.part, use.options, use.mark, frozen=bool(frozen and frozen.value))

    def player(self, name: str, node: Node, schedules: Mapping[str, model.PartUse]) -> model.PlayerUse | None:
        entries = dict(self.mapping(node, f"player '{name}'"))
        moving: dict[tuple[str | int, ...], model.PartUse] = {}
        for key in ("optimizer", "ema"):
            if key in entries and isinstance(entries[key].value, dict):
                entries[key] = self.settled(entries[key], (key,), schedules, moving)
        optimizer_node, schedule_node = entries.get("optimizer"), entries.get("schedule")
        rest = {k: n for k, n in entries.items() if k not in ("optimizer", "schedule")}
        others = Node(rest, node.mark, node.keys)
        settings = self.settings(model.PlayerSettings, others, f"player '{name}'", ("optimizer", "schedule"))
        if optimizer_node is None:
            self.fault(f"player '{name}' has no optimizer", node.mark, "for example optimizer: {type: adam, lr: 2e-4}")
        optimizer = self.use("optimizers", optimizer_node) if optimizer_node else None
        factors = tuple(u for n in _one_or_many(schedule_node) if (u := self.schedule(n)))
        if settings is None or optimizer is None:
            return None
        marks: dict[str, Mark] = {}
        for network, item in zip(settings.networks, self.items(entries["networks"], "networks"), strict=True):
            if network in marks:
                self.fault(f"player '{name}' names the network '{network}' twice", item.mark, "once is enough")
            marks.setdefault(network, item.mark)
        return model.PlayerUse(name, settings, optimizer, factors, moving, marks, node.mark)

    def schedule(self, node: Node) -> model.PartUse | None:
        """A schedule, tried once: whether its options fit together only it can say."""
        use = self.use("schedules", node)
        if use is None:
            return None
        (progress,) = use.part.signature.injected
        try:
            with blame("", use):
                value = use.part.factory(**{progress: BEGINNING}, **use.options)
        except Exception as error:
            self.problems.append(self._at_option(use, node, refusal(error, use)))
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | Tensor):
            given = "nothing" if value is None else f"a value of type {type(value).__name__}"
            self.fault(f"{use.part.name} gives {given}, not a number", use.mark, "a schedule returns a float")
            return None
        return use

    def settled(
        self,
        node: Node,
        path: tuple[str | int, ...],
        schedules: Mapping[str, model.PartUse],
        moving: dict[tuple[str | int, ...], model.PartUse],
    ) -> Node:
        """Options with a number, that of the first step, where a schedule stands; `moving` is given these by path."""

        def settle(key: str | int, child: Node) -> Node:
            place = (*path, key)
            named = isinstance(child.value, str) and child.value in schedules and key != "type"
            written = isinstance(child.value, dict) and "type" in child.value
            use = schedules[str(child.value)] if named else self.schedule(child) if written else None
            if use is None:  # of a faulty schedule enough has been said
                return Node(0.5, child.mark) if written else self.settled(child, place, schedules, moving)
            moving[place] = dataclasses.replace(use, mark=child.mark) if named else use
            try:
                return Node(bind_schedule(use)(BEGINNING), child.mark)
            except Exception as error:  # though it was tried before
                self.problems.append(refusal(error, use))
                return Node(0.5, child.mark)

        match node.value:
            case dict() as entries:
                return Node({key: settle(key, child) for key, child in entries.items()}, node.mark, node.keys)
            case list() as items:
                return Node([settle(index, child) for index, child in enumerate(items)], node.mark)
        return node

    def phases(
        self, sections: Mapping[str, Node], schedules: Mapping[str, model.PartUse]
    ) -> tuple[model.PhaseUse, ...]:
        phases: list[model.PhaseUse] = []
        named: dict[str, Mark] = {}
        players = {name for name, _ in self.section(sections, "players")}
        for item in self.items(sections.get("phases"), "phases"):
            entries = self.mapping(item, "a phase")
            losses_node = entries.get("losses")
            rest = Node({k: n for k, n in entries.items() if k != "losses"}, item.mark, item.keys)
            settings = self.settings(model.PhaseSettings, rest, "a phase", ("losses",))
            losses = [u for k, n in self.section(entries, "losses") if (u := self.loss(k, n, schedules))]
            for name, mark in losses_node.keys.items() if losses_node else ():
                if name in named:  # their curves would be one
                    cure = f"line {named[name].line + 1} has that name already: rename one of them"
                    self.fault(f"two losses are called '{name}'", mark, cure)
                named.setdefault(name, mark)
            if losses_node is None or not losses_node.value:
                self.fault("the phase has no losses", item.mark, "a phase trains a player on one loss or more")
            if settings is not None:
                name = settings.train
                taken = {phase.name for phase in phases} | players - {name}
                names = (f"{name}_{number}" if number > 1 else name for number in itertools.count(1))
                name = next(each for each in names if each not in taken)
                mark = entries["train"].mark
                phases.append(model.PhaseUse(name, settings.train, tuple(losses), settings.every, mark))
        return tuple(phases)

    def loss(self, name: str, node: Node, schedules: Mapping[str, model.PartUse]) -> model.LossUse | None:
        entries = self.mapping(node, f"loss '{name}'")
        weight_node, every_node = entries.get("weight"), entries.get("every")
        weight = 1.0 if weight_node is None else self.weight(weight_node, schedules)
        every = 1
        if every_node is not None:
            every = every_node.value if type(every_node.value) is int and every_node.value >= 1 else 0
            if not every:
                self.fault("'every' should be a whole number of steps, 1 or more", every_node.mark)
        use, inputs = self.bound_use("losses", node, ("weight", "every"))
        return model.LossUse(name, use, inputs, weight, every) if use and weight is not None else None

    def weight(self, node: Node, schedules: Mapping[str, model.PartUse]) -> float | model.PartUse | None:
        value = node.value
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if isinstance(value, dict):
            return self.schedule(node)
        if isinstance(value, str) and value in schedules:
            return schedules[value]
        if isinstance(value, str) and schedules:
            message = f"'weight' is neither a number nor a schedule: '{value}'"
            self.problems.append(misspelt(message, value, schedules, node.mark))
        else:
            wanted = f"{'finite ' * isinstance(value, float)}number or a schedule"
            cure = "for example weight: 10, or weight: {type: ramp, end: 1, steps: 1000}"
            self.fault(f"'weight' should be a {wanted}", node.mark, cure)
        return None

    def metric(self, name: str, node: Node) -> model.MetricUse | None:
        use, inputs = self.bound_use("metrics", node, ())
        return model.MetricUse(name, use, inputs) if use else None

    def images(self, node: Node | None) -> tuple[model.Written, ...]:
        entries = node.value if node and isinstance(node.value, dict) else {}
        image_nodes = self.items(entries.get("images"), "images")
        return tuple(w for n in image_nodes if isinstance(n.value, str) and (w := self.expression(n)))


def _of_data(sections: Mapping[str, Node], key: str) -> Node | None:
    data = sections.get("data")
    return data.value.get(key) if data and isinstance(data.value, dict) else None


def _one_or_many(node: Node | None) -> list[Node]:
    if node is None or node.value is None:
        return []
    return node.value if isinstance(node.value, list) else [node]
