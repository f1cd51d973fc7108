"""The cast of a recipe: its networks, ops, losses, metrics and schedules, built."""

from __future__ import annotations

import copy
import functools
import inspect
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ganforge.api.context import Progress
from ganforge.api.metrics import Metric
from ganforge.core.randomness import derive_seed, seed_all
from ganforge.core.torch_internals.modules import is_batch_norm
from ganforge.failures.blame import blame, refuse
from ganforge.plugins.signature import context_parameter
from ganforge.recipe.building import bind_schedule, build
from ganforge.recipe.expressions import Call
from ganforge.recipe.model import MetricUse, PartUse, Recipe


@dataclass(frozen=True)
class Cast:
    """Everything that expressions can name, ready to be called. Who needs others in it makes a cast of their own."""

    networks: nn.ModuleDict
    ops: dict[str, Callable[..., Any]]
    losses: dict[tuple[str, str], Callable[..., Any]]
    """Losses by phase and name."""
    schedules: dict[str, Callable[[Progress], float]]
    rngs: dict[str, random.Random]
    """The random generators of stateful ops, by op."""
    contexts: dict[str, str]
    """The parameter that takes the context, of each op, or method of one (`augment.watch`), that has one."""
    uses: dict[str, PartUse] = field(default_factory=dict)
    """The place in the recipe where each network, and each op that the recipe lists, is named."""

    def operation(self, call: Call) -> Callable[..., Any]:
        """What a call of an op runs: a named op or one of its methods, or a function op by its short or full name."""
        if call.function in self.ops:
            return self.ops[call.function]
        return getattr(self.ops[call.name], call.method or "")

    @property
    def modules(self) -> list[nn.Module]:
        """What has weights and buffers: the networks, and those losses that are modules."""
        return [part for part in (*self.networks.values(), *self.losses.values()) if isinstance(part, nn.Module)]

    def parameters(self, networks: Iterable[str]) -> list[nn.Parameter]:
        """The parameters of these networks."""
        found: list[nn.Parameter] = []
        for name in networks:
            with blame(f"the parameters of network '{name}' cannot be had", self.uses.get(name)):
                found += self.networks[name].parameters()
                if not all(isinstance(parameter, torch.Tensor) for parameter in found):
                    raise refuse("its parameters() give something that is no tensor", self.uses.get(name))
        return found

    def copied_ops(self, names: Iterable[str]) -> dict[str, Callable[..., Any]]:
        """The ops, these of them as copies, with their random generators: whatever they do leaves no trace."""
        copies = {}
        for name in names:
            with blame(f"the op '{name}' cannot be copied", self.uses.get(name)):
                copies[name] = copy.deepcopy(self.ops[name])
        return {**self.ops, **copies}


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then each submodule is in its own mode again."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def couples_samples(network: nn.Module) -> bool:
    """Whether a training forward of two samples together may differ from two forwards.

    Known of batch norms (not of instance norms, which torch derives from the same class); any other layer declares it
    with `@traits(couples_samples=True)`.
    """
    return any(getattr(layer, "couples_samples", False) or is_batch_norm(layer) for layer in network.modules())


Place = Callable[[nn.Module], nn.Module]


def build_cast(recipe: Recipe, place: Place = lambda module: module) -> Cast:
    """Build the parts; `place` moves a module to where it computes.

    Weights are drawn before they move: a run starts from the same ones on every device.

    Raises:
        RecipeError: a constructor refused its options.
    """
    seed = recipe.run.seed
    networks = nn.ModuleDict()
    for name, use in recipe.networks.items():
        seed_all(derive_seed(seed, "network", name))
        network = build(use)
        with blame(f"the network '{name}' cannot be moved to where it computes", use):
            placed = place(network)
            if not isinstance(placed, nn.Module):
                raise TypeError("its to() gives no nn.Module")
            networks[name] = placed
            _look_over(placed)
            if use.frozen:  # not even its running statistics may move
                networks[name].eval().requires_grad_(False)
    ops, rngs = build_ops(recipe, place, seed)
    factories = {name: part.factory for name, part in recipe.functions.items()}
    factories |= {name: use.part.factory for name, use in recipe.ops.items()}
    losses = {}
    for phase in recipe.phases:
        for loss in phase.losses:
            seed_all(derive_seed(seed, "loss", phase.name, loss.name))
            losses[phase.name, loss.name] = _build_loss(loss.use, place)
    schedules = {name: bind_schedule(use) for name, use in recipe.schedules.items()}
    return Cast(networks, ops, losses, schedules, rngs, _contexts(factories), recipe.networks | recipe.ops)


def _look_over(module: nn.Module) -> None:
    """Ask a module for what it has, as the engine will: it may have methods of its own for that.

    Raises:
        TypeError: it gives something else.
    """
    found = [*module.parameters(), *(parameter for _, parameter in module.named_parameters()), *module.buffers()]
    if not all(isinstance(tensor, torch.Tensor) for tensor in found):
        raise TypeError("its parameters() or buffers() give something that is no tensor")
    if not all(isinstance(part, nn.Module) for part in (*module.modules(), *(m for _, m in module.named_modules()))):
        raise TypeError("its modules() give something that is no module")
    hash(module)


def build_ops(
    recipe: Recipe, place: Place, seed: int
) -> tuple[dict[str, Callable[..., Any]], dict[str, random.Random]]:
    """The ops by name, functions too, and the random generators of those that a recipe lists.

    Raises:
        RecipeError: a constructor refused its options.
    """
    ops: dict[str, Callable[..., Any]] = {name: part.factory for name, part in recipe.functions.items()}
    rngs = {name: random.Random(derive_seed(seed, "op", name)) for name in recipe.ops}
    return ops | {name: _build_op(use, rngs[name], place) for name, use in recipe.ops.items()}, rngs


def _contexts(factories: Mapping[str, Callable[..., Any]]) -> dict[str, str]:
    """The parameter that takes the context, of each op and method of an op that has one."""
    called = dict(factories)
    for name, factory in factories.items():
        if inspect.isclass(factory):
            called |= {f"{name}.{n}": m for n, m in inspect.getmembers(factory, inspect.isfunction) if n[0] != "_"}
    return {name: parameter for name, factory in called.items() if (parameter := context_parameter(factory))}


def prepare(recipe: Recipe) -> None:
    """Let ops and metrics make sure that all they need is here: before data are read, not after the last step.

    Raises:
        EnvironmentFault: something is missing.
    """
    for use in (*recipe.ops.values(), *(metric.use for metric in recipe.metrics)):
        if hasattr(use.part.factory, "prepare"):
            made = _build_op(use, random.Random(0), lambda module: module)
            with blame(f"'{use.part.name}' cannot be prepared, before the first step", use):
                made.prepare()  # type: ignore[attr-defined]


def build_metric(use: MetricUse) -> Metric:
    """A metric over the validation set; a plain function is averaged over samples."""
    if inspect.isclass(use.use.part.factory):
        return build(use.use)
    return _Mean(functools.partial(use.use.part.factory, **use.use.options))


class _Mean(Metric):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        self.function, self.total, self.count = function, 0.0, 0

    def update(self, **inputs: torch.Tensor) -> None:
        size = len(next(iter(inputs.values())))
        self.total += float(self.function(**inputs)) * size
        self.count += size

    def compute(self) -> float:
        return self.total / max(1, self.count)


def _build_op(use: PartUse, rng: random.Random, place: Place) -> Callable[..., Any]:
    if not inspect.isclass(use.part.factory):
        return functools.partial(use.part.factory, **use.options)
    injected = {name: rng for name, kind in use.part.signature.injected.items() if kind is random.Random}
    op = build(use, **injected)
    with blame(f"the op '{use.part.name}' cannot be moved to where it computes", use):
        return place(op) if isinstance(op, nn.Module) else op


def _build_loss(use: PartUse, place: Place) -> Callable[..., Any]:
    if inspect.isclass(use.part.factory):
        loss = build(use)
        with blame(f"the loss '{use.part.name}' cannot be moved to where it computes", use):
            loss = place(loss)
            _look_over(loss)
            loss.requires_grad_(False)  # a loss judges; what learns is a network of a player
            return loss
    return functools.partial(use.part.factory, **use.options)
