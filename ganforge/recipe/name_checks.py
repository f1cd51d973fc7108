"""What the names of a recipe stand for, and whether its expressions fit them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import nn

from ganforge.api.datasets import Dataset
from ganforge.errors import Mark, Problem, misspelt
from ganforge.plugins.registry import SINGULAR
from ganforge.plugins.signature import call_signature, expression_signature, written_arguments
from ganforge.recipe.expressions import Call, Expression, Name, describe, misfit
from ganforge.recipe.model import LossUse, MetricUse, PartUse, PhaseUse, PlayerUse, Recipe, Written
from ganforge.recipe.model import written as every_written

NAMED = {"networks": "a network", "ops": "an op", "schedules": "a schedule", "signals": "a signal"}
"""The sections whose names expressions use."""


def check_scope(recipe: Recipe, dataset: Dataset | None, whole: bool) -> tuple[list[Problem], list[Problem]]:
    """The problems and the warnings of how a recipe's names are used.

    `dataset` is None where `data:` is faulty, and what has faults is missing from a recipe that is not `whole`: one
    fault must not cause others.
    """
    scope = _Scope(recipe, dataset, whole)
    scope.check_collisions()
    scope.check_expressions()
    scope.check_cycles()
    scope.check_players()
    scope.check_unused()
    scope.check_shown()
    return scope.problems, scope.warnings


def dependencies(recipe: Recipe, expression: Expression) -> set[str]:
    """Every name that an expression depends on, through the signals that it mentions."""
    found: set[str] = set()
    open_names = set(expression.names())
    while open_names:
        name = open_names.pop()
        found.add(name)
        if name in recipe.signals:
            open_names |= recipe.signals[name].expression.names() - found
    return found


@dataclass
class _Scope:
    recipe: Recipe
    dataset: Dataset | None
    whole: bool
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fields = set(self.dataset.shapes()) if self.dataset is not None else set()
        validation = set(self.dataset.validation_shapes()) if self.dataset is not None else set()
        self.validation_fields = validation | self.fields

    def fault(self, message: str, mark: Mark, cure: str = "") -> None:
        """Note a fault."""
        self.problems.append(Problem(message, mark, cure))

    # Names

    def check_collisions(self) -> None:
        """Note a fault where one name stands for two things."""
        seen = dict.fromkeys(self.fields, "a batch field")
        for section, kind in NAMED.items():
            for name, mark in self.keys(section).items():
                if not name.isidentifier() or name.startswith("_"):
                    cure = "use letters, digits and underscores: fake_b"
                    self.fault(f"'{name}' cannot be used in expressions", mark, cure)
                if name in seen:
                    self.fault(
                        f"'{name}' is {kind}, but {seen[name]} has that name already", mark, "rename one of them"
                    )
                seen[name] = kind

    def known(self, validation: bool) -> set[str]:
        """The names that are values: batch fields, signals and schedules."""
        fields = self.validation_fields if validation else self.fields
        return fields | self.written("signals") | self.written("schedules")

    @property
    def callable(self) -> set[str]:
        return self.written("networks") | self.written("ops")

    # Expressions

    def check_expressions(self) -> None:
        for signal in self.recipe.signals.values():
            self.check(signal, validation=False)
        for phase in self.recipe.phases:
            for loss in phase.losses:
                self.check_inputs(loss, validation=False)
        for metric in self.recipe.metrics:
            self.check_inputs(metric, validation=True)
        for image in self.recipe.images:
            self.check(image, validation=True)

    def check_inputs(self, use: LossUse | MetricUse, validation: bool) -> None:
        modules = {p.name for p in use.use.part.signature.inputs if takes_module(p.annotation)}
        for name, bound in use.inputs.items():
            for written in bound if isinstance(bound, tuple) else (bound,):
                root = written.expression
                is_network = isinstance(root, Name) and root.name in self.written("networks")
                if name in modules and not is_network:
                    wanted = f"'{name}' of {use.use.part.name} should be the name of a network"
                    self.fault(wanted, written.place(root), f"networks: {', '.join(self.recipe.networks)}")
                elif name not in modules or not is_network:
                    self.check(written, validation)

    def check(self, written: Written, validation: bool) -> None:
        for piece in written.expression.walk():
            if isinstance(piece, Call):
                self.check_call(written, piece, validation)
                self.warn_of_one_value(written, piece)
            elif isinstance(piece, Name) and piece.name in self.callable:
                kind = "a network" if piece.name in self.written("networks") else "an op"
                self.fault(f"'{piece.name}' is {kind} and must be called, as in {piece.name}(x)", written.place(piece))
            elif isinstance(piece, Name) and piece.name not in self.known(validation):
                self.unknown(written, piece, self.known(validation))

    def warn_of_one_value(self, written: Written, call: Call) -> None:
        """Warn of two draws of noise that are written alike: they are one draw."""
        seen: set[str] = set()
        for argument in (*call.arguments, *(value for _, value in call.keywords)):
            if isinstance(argument, Call) and argument.text in seen:
                both = f"both arguments '{argument.text}' of '{call.function}' are one value"
                cure = "for another draw give the op a second name under ops"
                self.warnings.append(Problem(f"{both}: one text is computed once", written.place(argument), cure))
            seen.add(argument.text)

    def unknown(self, written: Written, piece: Name | Call, known: set[str]) -> None:
        faulty_data = self.dataset is None and isinstance(piece, Name)  # it may be a batch field
        no_networks = not self.written("networks") and isinstance(piece, Call)
        if not faulty_data and not no_networks:
            mark = written.mark.shifted(piece.column, len(piece.name))
            self.problems.append(misspelt(f"unknown name '{piece.name}'", piece.name, known, mark))

    # Calls

    def check_call(self, written: Written, call: Call, validation: bool) -> None:
        recipe, name = self.recipe, call.name
        if name in recipe.networks:
            self.check_part(written, call, recipe.networks[name])
        elif name in recipe.ops:
            self.check_part(written, call, recipe.ops[name])
        elif name in self.callable:
            return  # faulty itself
        elif call.function in recipe.functions:
            self.bind(written, call, expression_signature(recipe.functions[call.function].factory))
        elif name not in self.known(validation) | set(recipe.functions):
            self.unknown_function(written, call)
        elif call.method:
            message = f"'{name}' is neither a network nor an op; only these have methods that a recipe can call"
            self.fault(message, written.mark.shifted(call.column, len(call.function)))
        else:
            self.fault(f"'{name}' is a value and cannot be called", written.mark.shifted(call.column, len(name)))

    def unknown_function(self, written: Written, call: Call) -> None:
        """Nothing has the name that is called; plugins' function ops may be meant, by a short or a full name."""
        functions = self.recipe.functions
        same = [name for name in functions if name.endswith(f".{call.function}")]
        mark = written.mark.shifted(call.column, len(call.function))
        if same:
            self.fault(f"'{call.function}' is registered by {len(same)} plugins", mark, f"write {' or '.join(same)}")
        elif own := {name for name in functions if name.startswith(f"{call.name}.")}:
            self.problems.append(misspelt(f"unknown op '{call.function}'", call.function, own, mark))
        else:
            self.unknown(written, call, self.callable | {name for name in functions if "." not in name})

    def check_part(self, written: Written, call: Call, use: PartUse) -> None:
        """Check a call of a network or an op, or of a method."""
        factory = use.part.factory
        if call.method is None:
            by_class = inspect.isclass(factory) or use.part.kind == "networks"
            signature = call_signature(factory) if by_class else expression_signature(factory)
            if signature is not None:
                self.bind(written, call, signature if by_class else _without(signature, set(use.options)))
        elif inspect.isclass(factory):
            self.check_method(written, call, use, factory)
        elif use.part.kind == "ops":  # what a network is that a function makes is known when it is built
            mark = written.mark.shifted(call.column, len(call.function))
            self.fault(f"'{call.name}' is a function and has no methods", mark, f"call it: {call.name}(x)")

    def check_method(self, written: Written, call: Call, use: PartUse, factory: type) -> None:
        method = getattr(factory, call.method or "", None)
        if method is None:
            foreign = {*nn.Module.__mro__, object}
            members = [pair for c in factory.__mro__ if c not in foreign for pair in vars(c).items()]
            own = {name for name, member in members if inspect.isfunction(member) and not name.startswith("_")}
            own -= {"forward", "state_dict", "load_state_dict", "statistics", "prepare"}
            message = f"{use.part.name} has no method '{call.method}'"
            mark = written.mark.shifted(call.column, len(call.function))
            otherwise = None if own else f"call the {SINGULAR[use.part.kind]} itself: {call.name}(x)"
            self.problems.append(misspelt(message, call.method or "", own, mark, otherwise))
        elif inspect.isfunction(method):
            self.bind(written, call, written_arguments(method, skip=1))

    def bind(self, written: Written, call: Call, signature: inspect.Signature) -> None:
        if found := misfit(call, signature):
            message, place = found
            self.fault(message, written.place(place), f"it takes: {describe(call.function, signature)}")

    # Signals and players

    def check_cycles(self) -> None:
        signals = self.recipe.signals
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                loop = path[path.index(name) :]
                if not done & set(loop):
                    written = signals[loop[0]]
                    message = f"signals depend on each other in a circle: {' -> '.join((*loop, name))}"
                    place = written.place(written.expression)
                    self.fault(message, place, "compute one of them from a batch field")
                done.update(loop)
            elif name not in done:
                for other in sorted(signals[name].expression.names() & set(signals)):
                    visit(other, (*path, name))
                done.add(name)

        for name in signals:
            visit(name, ())

    def check_players(self) -> None:
        recipe = self.recipe
        trained: dict[str, str] = {}
        unknown: set[str] = set()
        for player in recipe.players.values():
            for network, mark in player.marks.items():
                if network not in recipe.networks:
                    if network not in self.written("networks") and self.written("networks"):
                        unknown.add(network)
                        self.problems.append(misspelt(f"unknown network '{network}'", network, recipe.networks, mark))
                elif network in trained:
                    message = f"'{network}' belongs to the players '{trained[network]}' and '{player.name}'"
                    self.fault(message, mark, "a network learns from one player's optimizer")
                elif recipe.networks[network].frozen:
                    message = f"'{network}' is frozen, yet player '{player.name}' trains it"
                    self.fault(message, mark, "drop one of the two")
                trained.setdefault(network, player.name)
        told = unknown or len(recipe.players) < len(self.written("players"))
        for name, use in recipe.networks.items():
            if name not in trained and not use.frozen and not told:
                cure = "name it in a player's networks, or write frozen: true if it must not learn"
                self.fault(f"no player trains the network '{name}'", self.keys("networks")[name], cure)
        self.check_phases()

    def check_phases(self) -> None:
        recipe = self.recipe
        for phase in recipe.phases:
            if phase.train not in self.written("players"):
                message = f"unknown player '{phase.train}'"
                self.problems.append(misspelt(message, phase.train, self.written("players"), phase.mark))
        if self.problems or not self.whole:
            return  # what the losses reach cannot be told yet
        for player in recipe.players.values():
            phases = [phase for phase in recipe.phases if phase.train == player.name]
            if not phases:
                cure = f"add it to the phases: - train: {player.name}"
                self.fault(f"no phase trains the player '{player.name}'", self.keys("players")[player.name], cure)
                continue
            for phase in phases:
                self.check_reach(phase, player)
            losses = [loss for phase in phases for loss in phase.losses]
            reached = self.reached(losses)
            learning = self.reached([loss for loss in losses if not loss.watches])
            for network, mark in player.marks.items():
                if network not in reached:
                    message = f"no loss of the player '{player.name}' depends on its network '{network}'"
                    self.fault(message, mark, "it would never learn; add a loss, or drop it from the player")
                elif network not in learning:
                    message = f"all losses of the player '{player.name}' that depend on '{network}' have weight 0"
                    self.warnings.append(Problem(message, mark, "it does not learn; give one of them a weight"))

    def reached(self, losses: Sequence[LossUse]) -> set[str]:
        """All that losses depend on."""
        expressions = (written.expression for loss in losses for written in loss.expressions())
        return set[str]().union(*(dependencies(self.recipe, expression) for expression in expressions))

    def check_reach(self, phase: PhaseUse, player: PlayerUse) -> None:
        """A loss from which its player cannot learn would only fail when it runs."""
        for loss in phase.losses:
            if not self.reached([loss]) & set(player.networks):
                message = f"the loss '{loss.name}' depends on no network of the player '{player.name}'"
                self.fault(message, loss.use.mark, f"the player has: {', '.join(player.networks)}")

    def check_unused(self) -> None:
        recipe = self.recipe
        used = set().union(*(dependencies(recipe, written.expression) for written in self.roots()))
        for name in recipe.signals:
            if name not in used:
                message, mark = f"nothing uses the signal '{name}'", self.keys("signals")[name]
                self.warnings.append(Problem(message, mark, "it costs nothing, and does nothing"))

    def check_shown(self) -> None:
        """Note what `run.show` says of names that are none, or of channels that are not there."""
        shapes = self.dataset.shapes() if self.dataset is not None else {}
        known = self.fields | self.written("signals")
        shown = self.recipe.node.mapping()["run"].mapping()["show"].keys if self.recipe.run.show else {}
        for name, mark in shown.items():
            channels = self.recipe.run.show[name]
            has = shapes[name][0] if len(shapes.get(name, ())) == 3 else None
            if self.dataset is not None and name not in known:
                self.problems.append(misspelt(f"run.show: '{name}' is no field and no signal", name, known, mark))
            elif len(channels) not in (1, 3) or (has and max(channels) > has):
                cure = f"name one channel, or three, of 1 to {has}" if has else "name one channel, or three"
                self.fault(f"run.show: '{name}' cannot be shown by its channels {list(channels)}", mark, cure)

    def roots(self) -> Iterator[Written]:
        yield from self.recipe.images
        for phase in self.recipe.phases:
            for loss in phase.losses:
                yield from loss.expressions()
        for metric in self.recipe.metrics:
            yield from every_written(metric.inputs)

    def keys(self, section: str) -> dict[str, Mark]:
        """The names that a section gives and their places, faulty ones too: one fault must not cause others."""
        node = self.recipe.node.mapping().get(section)
        return node.keys if node else {}

    def written(self, section: str) -> set[str]:
        return set(self.keys(section))


def takes_module(annotation: object) -> bool:
    """Whether an input so annotated is bound to a network itself."""
    if inspect.isclass(annotation) and issubclass(annotation, nn.Module):
        return True
    return any(map(takes_module, typing.get_args(annotation)))


def _without(signature: inspect.Signature, names: set[str]) -> inspect.Signature:
    return signature.replace(parameters=[p for p in signature.parameters.values() if p.name not in names])
