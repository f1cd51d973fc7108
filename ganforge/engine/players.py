"""Players: networks with one optimizer, its schedule, its scaler, and their moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.engine.average import Average
from ganforge.engine.cast import Cast, bind_schedule
from ganforge.engine.device import Precision
from ganforge.errors import Problem, RecipeError
from ganforge.parts import Progress
from ganforge.recipe.model import PlayerUse


class Player:
    """Who learns. Built when all parameters exist."""

    def __init__(self, use: PlayerUse, cast: Cast, precision: Precision, fused: bool = False) -> None:
        self.name = use.name
        self.clip_norm, self.clip_weights = use.settings.clip_norm, use.settings.clip_weights
        self.networks: dict[str, nn.Module] = {name: cast.networks[name] for name in use.networks}
        self.parameters = [p for net in self.networks.values() for p in net.parameters() if p.requires_grad]
        self.optimizer = _optimizer(use, self.parameters, {"fused": True} if fused else {})
        self.schedules = [bind_schedule(schedule) for schedule in use.schedules]
        self.moving = {path: bind_schedule(schedule) for path, schedule in use.moving.items()}
        self.base_rates: list[float] = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = torch.amp.GradScaler(precision.device.type) if precision.scaled else None
        self.ema: dict[str, Average] = {}
        if use.settings.ema is not None:
            decay = use.settings.ema.decay
            self.ema = {name: Average(network, decay) for name, network in self.networks.items()}

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def follow_schedules(self, progress: Progress) -> None:
        """Set all that moves with the progress: hyperparameters, and the learning rate by its factors."""
        for (key, *path), schedule in self.moving.items():
            if key == "ema":
                for average in self.ema.values():
                    average.decay = schedule(progress)
            else:
                self._set_hyperparameter(path, schedule(progress))
        if self.schedules:
            factor = math.prod(schedule(progress) for schedule in self.schedules)
            for group, base in zip(self.optimizer.param_groups, self.base_rates, strict=True):
                group["lr"] = base * factor

    def _set_hyperparameter(self, path: Sequence[str | int], value: float) -> None:
        """A number of the optimizer, or one of several: `("betas", 1)`."""
        name = str(path[0])
        for number, group in enumerate(self.optimizer.param_groups):
            if len(path) > 1:
                items = list(group[name])
                items[int(path[1])] = value
                group[name] = tuple(items)
            else:
                group[name] = value
            if name == "lr":
                self.base_rates[number] = value

    def clear(self) -> None:
        """Drop the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, total: Tensor, inputs_only: bool) -> None:
        """Add the gradients of a total loss; `inputs_only` spares those of differentiable inputs."""
        scaled = self.scaler.scale(total) if self.scaler else total
        scaled.backward(inputs=self.parameters if inputs_only else None)

    def norm_of(self, loss: Tensor) -> Tensor:
        """The norm of one loss's gradient, which is not added to any; its graph stays. With fp16 it is scaled."""
        scaled = self.scaler.scale(loss) if self.scaler else loss
        gradients = torch.autograd.grad(scaled, self.parameters, retain_graph=True, allow_unused=True)
        return nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])

    def gradient_norm(self) -> Tensor:
        """The norm of all gradients together, on the device."""
        if self.scaler:
            self.scaler.unscale_(self.optimizer)
        return nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])

    def step(self, norm: Tensor | None) -> None:
        """Update the networks; `norm` is the gradients', where it was computed."""
        if self.clip_norm is not None:
            norm = self.gradient_norm() if norm is None else norm
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip_norm, norm)
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        if self.clip_weights is not None:
            self._clip_weights(self.clip_weights)

    def follow(self) -> None:
        """Update the moving average: once a step, however many phases the player has."""
        for name, average in self.ema.items():
            average.update(self.networks[name])

    @torch.no_grad()
    def _clip_weights(self, limit: float) -> None:
        """Every weight into `[-limit, limit]`, as the first Wasserstein critics had it."""
        for parameter in self.parameters:
            parameter.clamp_(-limit, limit)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the networks and their average, which have files of their own."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "averaged": {name: average.updates for name, average in self.ema.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        saved = state["optimizer"]
        for group, now in zip(saved["param_groups"], self.optimizer.param_groups, strict=True):
            if "fused" in now:  # how it computes is this run's choice
                group["fused"] = now["fused"]
        self.optimizer.load_state_dict(saved)
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        for name, average in self.ema.items():
            average.updates = state["averaged"][name]


def _optimizer(use: PlayerUse, parameters: Sequence[nn.Parameter], more: Mapping[str, Any]) -> torch.optim.Optimizer:
    factory: Callable[..., torch.optim.Optimizer] = use.optimizer.part.factory
    try:
        return factory(parameters, **use.optimizer.options, **more)
    except Exception as error:
        cure = f"it takes: {use.optimizer.part.signature}"
        raise RecipeError([Problem(f"{use.optimizer.part.name}: {error}", use.optimizer.mark, cure)]) from error
