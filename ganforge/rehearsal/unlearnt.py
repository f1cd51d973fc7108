"""Weights that nobody trains, though they are there to learn: of losses, of ops, in lists that torch does not see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from ganforge.errors import Problem
from ganforge.recipe.model import PhaseUse, Recipe
from ganforge.step.cast import Cast

WAYS = (
    "freeze them if that is meant, with self.requires_grad_(False) at the end of its constructor;\n"
    "what should learn is a network of a player, which a loss or an op is given by its name"
)
SHOWN = 3


class Unlearnt:
    """Notes the parameters of parts as they are built, before the engine freezes those of losses."""

    def __init__(self) -> None:
        self.found: dict[int, list[str]] = {}
        """The names of each module's parameters that learn."""

    def place(self, module: nn.Module) -> nn.Module:
        """Look at a module that was just built."""
        self.found[id(module)] = [name for name, p in module.named_parameters() if p.requires_grad]
        return module

    def parts(self, recipe: Recipe, cast: Cast) -> Iterator[Problem]:
        """The losses and ops that have weights which would never learn."""
        losses = ((loss, cast.losses[phase.name, loss.name]) for phase in recipe.phases for loss in phase.losses)
        parts: list[tuple[str, Any, Any]] = [(f"the loss '{loss.name}'", loss.use, part) for loss, part in losses]
        parts += [(f"the op '{name}'", use, cast.ops[name]) for name, use in recipe.ops.items()]
        for what, use, part in parts:
            if names := self.found.get(id(part)):
                message = f"{what} ({use.part.name}) has weights that would never learn: {_listed(names)}"
                yield Problem(message, use.mark, WAYS)

    def in_graph(self, total: Tensor, phase: PhaseUse, cast: Cast) -> Iterator[Problem]:
        """Parameters on which the losses of a phase depend, and that no part shows."""
        known = {id(p) for module in (*cast.modules, *cast.ops.values()) for p in _of(module)}
        strange = [leaf for leaf in leaves(total) if isinstance(leaf, nn.Parameter) and id(leaf) not in known]
        if not strange:
            return
        holders = sorted({place for leaf in strange if (place := _holder(leaf, cast))})
        message = f"the losses of this phase depend on {_count(len(strange))} that no network has, and that never learn"
        if holders:
            cure = f"{', '.join(holders)}: keep layers in nn.ModuleList or nn.ModuleDict, for torch to see them"
        else:
            cure = f"they are of a loss or an op, shaped {_listed([str(list(p.shape)) for p in strange])}:\n{WAYS}"
        yield Problem(message, phase.mark, cure)


def leaves(value: Tensor) -> list[Any]:
    """The leaves of a value's graph."""
    found, seen, waiting = [], set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (leaf := getattr(node, "variable", None)) is not None:
            found.append(leaf)
        waiting += [following for following, _ in node.next_functions]
    return found


def _holder(leaf: nn.Parameter, cast: Cast) -> str | None:
    """Where a network keeps a parameter, or the layer that has it, out of torch's sight."""
    for network, module in cast.networks.items():
        for path, layer in module.named_modules():
            for name, held in vars(layer).items():
                if not name.startswith("_") and any(leaf is p for item in _items(held) for p in _of(item)):
                    return f"network '{network}' keeps them in {'.'.join(filter(None, (path, name)))}"
    return None


def _items(held: Any) -> Sequence[Any]:
    if isinstance(held, dict):
        return list(held.values())
    return held if isinstance(held, list | tuple) else [held]


def _of(item: Any) -> Iterator[Any]:
    if isinstance(item, nn.Module):
        yield from item.parameters()
    else:
        yield item


def _count(number: int) -> str:
    return "a parameter" if number == 1 else f"{number} parameters"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
