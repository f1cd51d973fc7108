"""Whether what a run keeps can be saved, and taken up again: known before the first step, not at a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from ganforge.core.serialise import Unsaveable, copied, take_apart
from ganforge.core.torch_internals.modules import metadata_of, versioned
from ganforge.errors import Mark, Problem, RecipeError, last_line
from ganforge.failures.blame import at
from ganforge.training.trainer import Trainer

CURE = "state_dict and get_extra_state may give tensors, arrays, numbers, texts, bytes, lists, tuples, sets and dicts"
BACK = "what state_dict gives, load_state_dict must take; with get_extra_state goes set_extra_state"


def check_states(trainer: Trainer) -> None:
    """Take apart, as a checkpoint does, and put back what each part of a run keeps.

    Raises:
        RecipeError: with every part whose state cannot be saved, or that cannot take it up.
    """
    problems = [problem for what, mark, try_it in _tries(trainer) for problem in _problems(what, mark, try_it)]
    if problems:
        raise RecipeError(problems)


def _tries(trainer: Trainer) -> Iterator[tuple[str, Mark, Callable[[], object]]]:
    recipe, cast = trainer.recipe, trainer.cast
    for name, use in recipe.networks.items():
        sharded = name in trainer.sharding.networks
        yield f"network '{name}'", use.mark, lambda name=name, whole=not sharded: _module(cast.networks[name], whole)  # type: ignore[misc]
    for phase in recipe.phases:
        for loss in phase.losses:
            module = cast.losses[phase.name, loss.name]
            if isinstance(module, nn.Module):
                yield f"loss '{loss.name}'", loss.use.mark, lambda module=module: _module(module, True)  # type: ignore[misc]
    for name, op in cast.ops.items():
        if hasattr(op, "state_dict"):
            yield f"op '{name}'", recipe.ops[name].mark, lambda op=op: _op(op)  # type: ignore[misc]
    for name, player in trainer.players.items():
        optimizer = player.optimizer
        mark = recipe.players[name].optimizer.mark
        yield f"the optimizer of '{name}'", mark, lambda held=optimizer: take_apart(held.state_dict(), "", {})  # type: ignore[misc]


def _problems(what: str, mark: Mark, try_it: Callable[[], object]) -> Iterator[Problem]:
    try:
        try_it()
    except Unsaveable as error:
        yield Problem(f"{what} cannot be saved: {str(error).removeprefix('.')}", mark, CURE)
    except RecursionError as error:
        yield Problem(f"{what} cannot be saved: its state holds itself{at(error)}", mark, CURE)
    except _NotTaken as error:
        yield Problem(f"{what} cannot take up its own state: {error}{at(error)}", mark, BACK)
    except Exception as error:
        raised = f"{type(error).__name__}: {last_line(error)}{at(error)}"
        yield Problem(f"{what} cannot be saved: its state_dict raises {raised}", mark, CURE)


class _NotTaken(Exception):
    """An error that `load_state_dict` raised."""


def _module(module: nn.Module, whole: bool) -> None:
    """Put back what it has: its tensors as they are, the rest as from a checkpoint."""
    state: Mapping[str, Any] = module.state_dict()
    again = {name: value if isinstance(value, Tensor) else _copied(name, value) for name, value in state.items()}
    for name, value in state.items():
        if isinstance(value, Tensor) and whole:
            take_apart(value[:0] if value.ndim and not value.is_sparse else value, name, {})  # its type and layout
    if whole:
        _put_back(module, versioned(again, metadata_of(state)))


def _copied(name: str, value: Any) -> Any:
    tensors: dict[str, Tensor] = {}
    take_apart(value, name, tensors)  # which says where in it something is wrong
    return copied(value)


def _op(op: Any) -> None:
    state = copied(op.state_dict())
    try:
        twin = copy.deepcopy(op)
    except Exception:  # what cannot be copied is told where it has to be
        return
    _put_back(twin, state)


def _put_back(part: Any, state: Any) -> None:
    try:
        part.load_state_dict(state)
    except Exception as error:
        raise _NotTaken(f"{type(error).__name__}: {last_line(error)}") from error
