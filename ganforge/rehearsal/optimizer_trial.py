"""What an optimizer does, tried on small tensors before the first step: is what moves heeded, and can it be saved?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.core.serialise import Unsaveable, copied, take_apart
from ganforge.errors import Problem, last_line
from ganforge.failures.blame import at
from ganforge.recipe.model import PlayerUse
from ganforge.step.optimizer_options import NoPlace, Number, Path, option, places, replaced, write

STEPS = 3
KEEP = "let it keep the option in the defaults that torch.optim.Optimizer is given, and read it from each group in step"
SIZE = 3
"""The longest axis of the parameters that an optimizer is tried on."""


def try_optimizer(use: PlayerUse, shapes: Sequence[Sequence[int]]) -> Iterator[Problem]:
    """What is wrong with a player's optimizer, as far as a few steps on small parameters show it."""
    trial = _Trial(use, shapes)
    for (key, *path), schedule in use.moving.items():
        if key == "optimizer" and (why := trial.why_not(path)):
            name = ".".join(map(str, path))
            cure = f"{KEEP}\nor give a number: players.{use.name}.optimizer.{name}={option(trial.options, path):g}"
            yield Problem(
                f"{use.optimizer.part.name}: its option '{name}' cannot be a schedule: {why}", schedule.mark, cure
            )
    if use.schedules and (why := trial.why_no_rate()):
        message = f"{use.optimizer.part.name}: a schedule of player '{use.name}' cannot scale its learning rate: {why}"
        yield Problem(message, use.schedules[0].mark, "leave the schedule out, or take another optimizer")
    try:
        why_not_saved = trial.why_not_saved()
    except Unsaveable as error:
        why_not_saved = f"cannot be saved: {str(error).removeprefix('.')}"
    if why_not_saved:
        yield Problem(f"{use.optimizer.part.name}: its state after a step {why_not_saved}", use.optimizer.mark)


class _Trial:
    def __init__(self, use: PlayerUse, shapes: Sequence[Sequence[int]]) -> None:
        self.use, self.options = use, use.optimizer.options
        self.shapes = [[min(size, SIZE) for size in shape] for shape in shapes]

    def built(self, options: Mapping[str, Any]) -> Optimizer:
        """The optimizer with these options, of new parameters."""
        return self.use.optimizer.part.factory([nn.Parameter(_numbers(shape, 1.0)) for shape in self.shapes], **options)

    def steps(self, optimizer: Optimizer, count: int, first: int = 0) -> list[Tensor]:
        """The values of the optimizer's parameters after some more steps."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for step in range(first, first + count):
            for parameter in parameters:
                parameter.grad = _numbers(parameter.shape, 2.0 + step)
            optimizer.step()
        return [parameter.detach().clone() for parameter in parameters]

    def why_not(self, path: Path) -> str:
        """Why an option cannot be a schedule; empty if it can."""
        try:
            self.built(self.options)
        except Exception:  # its refusal is told elsewhere, or is one of such small parameters
            return ""
        try:
            kept = places(self.built, self.options, path)
        except NoPlace as error:
            return str(error)
        now = float(option(self.options, path))
        other = 0.5 * now if now else 0.5
        moved = {place.number: place.of(other) for place in kept}
        return self._unheeded(moved, replaced(self.options, path, other))

    def why_no_rate(self) -> str:
        """Why factors on the learning rate would do nothing; empty if they do."""
        try:
            groups = self.built(self.options).param_groups
        except Exception:  # its refusal is told elsewhere
            return ""
        if not all("lr" in group for group in groups):
            return "the optimizer has none in its param_groups ('lr')"
        rates: dict[Number, float] = {(n, "lr", None): 0.5 * float(group["lr"]) for n, group in enumerate(groups)}
        if "lr" not in self.options:
            return ""
        return self._unheeded(rates, {**self.options, "lr": 0.5 * float(self.options["lr"])})

    def _unheeded(self, moved: Mapping[Number, float], other: Mapping[str, Any]) -> str:
        """Whether the optimizer goes on as if nothing had moved, though it would do otherwise if built so."""
        try:
            still = self.steps(self.built(self.options), STEPS)
            optimizer = self.built(self.options)
            self.steps(optimizer, 1)
            for number, value in moved.items():
                write(optimizer, number, value)
            after = self.steps(optimizer, STEPS - 1, 1)
            anew = self.steps(self.built(other), STEPS)
        except Exception:  # such as a step that wants to compute losses itself, or parameters of other shapes
            return ""
        heeded = not _equal(still, after) or _equal(still, anew)
        return "" if heeded else "the optimizer does not look at it any more once it has taken a step"

    def why_not_saved(self) -> str:
        """What goes wrong with the optimizer's state, once it has one; empty if nothing does."""
        try:
            optimizer = self.built(self.options)
            self.steps(optimizer, 1)
        except Exception:  # told when it takes its first step
            return ""
        try:
            state = optimizer.state_dict()
        except Exception as error:
            return f"cannot be saved: state_dict raises {type(error).__name__}: {last_line(error)}{at(error)}"
        take_apart(state, "", {})
        try:
            self.built(self.options).load_state_dict(copied(state))
        except Exception as error:
            raised = f"{type(error).__name__}: {last_line(error)}{at(error)}"
            return f"cannot be taken up again: load_state_dict raises {raised}"
        return ""


def _numbers(shape: Sequence[int], seed: float) -> Tensor:
    count = torch.Size(shape).numel()
    return (torch.arange(1, count + 1, dtype=torch.float64) * seed).cos().reshape(list(shape))


def _equal(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))
