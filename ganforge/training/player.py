"""Players: networks with one optimizer, its schedule, its scaler, and their moving average."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.api.context import Progress
from ganforge.core.sections import expect
from ganforge.core.torch_internals.tensors import norm_each, sparse_parts
from ganforge.errors import Problem, RecipeError, UsageError
from ganforge.failures.blame import blame
from ganforge.ranks.device import Precision
from ganforge.recipe.building import bind_schedule, build
from ganforge.recipe.model import PlayerUse
from ganforge.step.cast import Cast
from ganforge.step.optimizer_options import NoPlace, Path, Place, places, write
from ganforge.step.sharding import Sharding, is_sharded, own_shard
from ganforge.training.ema import Average


class Player:
    """A player of a recipe, at work; it is built when all parameters exist."""

    def __init__(self, use: PlayerUse, cast: Cast, precision: Precision, fused: bool, sharding: Sharding) -> None:
        self.name, self.sharding = use.name, sharding
        self.clip_norm, self.clip_weights = use.settings.clip_norm, use.settings.clip_weights
        self.networks: dict[str, nn.Module] = {name: cast.networks[name] for name in use.networks}
        named = []
        for name, net in self.networks.items():
            with blame(f"the parameters of network '{name}' cannot be had", cast.uses.get(name)):
                named += [(f"{name}.{key}", p) for key, p in net.named_parameters()]
        self.labels = tuple(name for name, p in named if p.requires_grad)
        """The parameters' names, the network's before the first dot."""
        self.parameters = [p for _, p in named if p.requires_grad]
        self.mine = [nn.Parameter(own_shard(p.detach())) if is_sharded(p) else p for p in self.parameters]
        """What this rank updates: of a parameter in shards its own, the same memory."""
        if self.is_sharded:
            refuse_coupled_weights(use)
        self.use = use
        self.optimizer = _optimizer(use, self.mine, {"fused": True} if fused else {})
        self.schedules = [bind_schedule(schedule) for schedule in use.schedules]
        self.moving = {path: bind_schedule(schedule) for path, schedule in use.moving.items()}
        self.places = {tuple(path): self._places(use, path, fused) for key, *path in self.moving if key == "optimizer"}
        """Where the optimizer keeps each of its options that move."""
        self.base_rates: list[float] = [float(group.get("lr", math.nan)) for group in self.optimizer.param_groups]
        self._no_size: Tensor | None = None
        self._given = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        """The optimizer's options, by group, as the recipe has them."""
        self.scaler = torch.amp.GradScaler(precision.device.type) if precision.scaled else None
        self.count_anew()
        self.ema = {} if use.settings.ema is None else self._averages(use.settings.ema.decay, cast)

    def _averages(self, decay: float, cast: Cast) -> dict[str, Average]:
        averages: dict[str, Average] = {}
        for name, network in self.networks.items():
            module = self.sharding.average(name) if name in self.sharding.networks else None
            doing = f"the moving average of network '{name}' cannot be made: it must let itself be copied"
            with blame(doing, cast.uses.get(name)):
                averages[name] = Average(network, decay, module)
        return averages

    @property
    def is_sharded(self) -> bool:
        """Whether some of its parameters are."""
        return any(map(is_sharded, self.parameters))

    @property
    def learning_rate(self) -> float:
        """The learning rate of the first group; NaN if the optimizer has none."""
        return float(self.optimizer.param_groups[0].get("lr", math.nan))

    def _places(self, use: PlayerUse, path: Path, fused: bool) -> list[Place]:
        def build(options: dict[str, Any]) -> torch.optim.Optimizer:
            return use.optimizer.part.factory(self.mine, **options, **({"fused": True} if fused else {}))

        try:
            return places(build, use.optimizer.options, path)
        except NoPlace as error:  # what a trial on small parameters did not show
            mark = use.moving["optimizer", *path].mark
            name = ".".join(map(str, path))
            message = f"{use.optimizer.part.name}: its option '{name}' cannot be a schedule: {error}"
            raise RecipeError([Problem(message, mark)]) from error

    def _blamed(self, doing: str) -> blame:
        return blame(f"the optimizer of player '{self.name}' cannot {doing}", self.use.optimizer)

    def follow_schedules(self, progress: Progress) -> None:
        """Set all that moves with the progress: hyperparameters, and the learning rate by its factors."""
        for (key, *path), schedule in self.moving.items():
            if key == "ema":
                for average in self.ema.values():
                    average.decay = schedule(progress)
            else:
                value = schedule(progress)
                for place in self.places[tuple(path)]:  # each group has the option as it was built
                    write(self.optimizer, place.number, place.of(value))
                    group, name, _ = place.number
                    if name == "lr":
                        self.base_rates[group] = place.of(value)
        if self.schedules:
            factor = math.prod(schedule(progress) for schedule in self.schedules)
            for group, base in enumerate(self.base_rates):
                write(self.optimizer, (group, "lr", None), base * factor)

    def clear(self) -> None:
        """Drop the gradients."""
        for parameter in (*self.parameters, *self.mine):
            parameter.grad = None

    def backward(self, total: Tensor, inputs_only: bool) -> None:
        """Add the gradients of a total loss; `inputs_only` spares those of differentiable inputs."""
        scaled = self.scaler.scale(total) if self.scaler else total
        # What FSDP does after a backward pass it would not do after one for some inputs.
        scaled.backward(inputs=self.parameters if inputs_only and not self.is_sharded else None)

    def norm_of(self, loss: Tensor) -> Tensor:
        """The norm of one loss's gradient, which is not added to any; its graph stays. With fp16 it is scaled."""
        scaled = self.scaler.scale(loss) if self.scaler else loss
        if self.is_sharded:
            return self._summed_norm_of(scaled)
        gradients = torch.autograd.grad(scaled, self.parameters, retain_graph=True, allow_unused=True)
        return nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])

    def _summed_norm_of(self, loss: Tensor) -> Tensor:
        """The norm of the gradients' sum over the ranks, which FSDP gives no other way."""
        kept = [parameter.grad for parameter in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward(retain_graph=True)
        for parameter in self.parameters:
            if not is_sharded(parameter) and parameter.grad is not None:
                self.sharding.world.add_up(parameter.grad)
        self._take_parts()
        norm = self._norm()
        for parameter, gradient in zip(self.parameters, kept, strict=True):
            parameter.grad = gradient
        return norm

    def _take_parts(self) -> None:
        """The gradients of what this rank updates are its shards of the parameters'."""
        for parameter, mine in zip(self.parameters, self.mine, strict=True):
            if parameter is not mine:
                mine.grad = None if parameter.grad is None else own_shard(parameter.grad)

    def _norm(self) -> Tensor:
        """The norm of all gradients together, the shards of other ranks too."""
        pairs = list(zip(self.parameters, self.mine, strict=True))
        norm = nn.utils.get_total_norm([mine.grad for p, mine in pairs if p is mine and mine.grad is not None])
        if not self.is_sharded:
            return norm
        shards = [mine.grad for p, mine in pairs if p is not mine and mine.grad is not None]
        square = nn.utils.get_total_norm(shards).to(self.mine[0].device, self.mine[0].dtype).square()
        self.sharding.world.add_up(square)
        return (square + norm.to(square).square()).sqrt()

    def gradient_norm(self) -> Tensor:
        """The norm of all gradients together, on the device."""
        if self.scaler:
            self.scaler.unscale_(self.optimizer)
        self._take_parts()
        return self._norm()

    @torch.no_grad()
    def gradient_sizes(self) -> Tensor:
        """The largest size in each parameter's gradient `[parameters]`, on the device: finite if the gradient is.

        A norm that squares would overflow where no gradient does.
        """
        self._take_parts()
        there = {n: p.grad for n, p in enumerate(self.mine) if p.grad is not None}
        # All that a gradient has besides zeros.
        found = {n: sparse_parts(grad)[1] if grad.is_sparse else grad for n, grad in there.items()}
        found = {n: values for n, values in found.items() if values.numel()}
        if not found:
            return torch.zeros(len(self.mine))
        sizes = dict(zip(found, norm_each(list(found.values()), math.inf), strict=True))
        like = max(sizes.values(), key=lambda size: size.dtype.itemsize)
        if self._no_size is None or self._no_size.dtype != like.dtype:
            self._no_size = torch.zeros_like(like)
        return torch.stack([sizes[n].to(like) if n in sizes else self._no_size for n in range(len(self.mine))])

    def count_anew(self) -> None:
        """From now on, count the steps that the scaler is given; it waits for the device."""
        self.attempts, self._scale = 0, self.scaler.get_scale() if self.scaler else 1.0

    def left_all_out(self) -> bool:
        """Whether the scaler has left out each step since then, and halved its scale at each; it waits for the
        device."""
        assert self.scaler is not None
        return self.scaler.get_scale() == self._scale * self.scaler.get_backoff_factor() ** self.attempts

    def step(self, norm: Tensor | None) -> None:
        """Update the networks; `norm` is the gradients', where it was computed."""
        self._take_parts()
        if self.clip_norm is not None:
            norm = self.gradient_norm() if norm is None else norm
            nn.utils.clip_grads_with_norm_(self.mine, self.clip_norm, norm)
        with self._blamed("take its step"):
            if self.scaler:
                self.attempts += 1
                self.scaler.step(self.optimizer)
                self.scaler.update()
            else:
                self.optimizer.step()
        if self.clip_weights is not None:  # as the first Wasserstein critics had it
            with torch.no_grad():
                for parameter in self.mine:
                    parameter.clamp_(-self.clip_weights, self.clip_weights)

    def follow(self) -> None:
        """Update the moving average: once a step, however many phases the player has."""
        for name, average in self.ema.items():
            average.update(self.networks[name])

    def state_dict(self) -> dict[str, Any]:
        """Everything but the networks and their average, which have files of their own."""
        with self._blamed("give its state"):
            optimizer = self.optimizer.state_dict()
        return {
            "optimizer": optimizer,
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "averaged": {name: average.updates for name, average in self.ema.items()},
        }

    def shards(self) -> dict[int, dict[str, Tensor]]:
        """What of the optimizer's state is this rank's part of something, by the parameter's number and its name."""
        state: dict[int, dict[str, Any]] = self.optimizer.state_dict()["state"]
        cut = [p is not mine for p, mine in zip(self.parameters, self.mine, strict=True)]
        return {
            number: {
                name: value
                for name, value in held.items()
                if isinstance(value, Tensor) and value.shape == self.mine[number].shape
            }
            for number, held in state.items()
            if cut[number]
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        expect(state, f"trainer.players.{self.name}", ("optimizer", "scaler", "averaged"))
        expect(state["averaged"], f"trainer.players.{self.name}.averaged", self.ema)
        saved = state["optimizer"]
        for group, now in zip(saved.get("param_groups", ()), self.optimizer.param_groups, strict=False):
            if "fused" in now:  # how it computes is this run's choice
                group["fused"] = now["fused"]
        with self._blamed("take its state back"):
            self.optimizer.load_state_dict(saved)
        if self.scaler and state["scaler"]:  # none where it was computed in another precision
            self.scaler.load_state_dict(state["scaler"])
            self.count_anew()
        for name, average in self.ema.items():
            average.updates = state["averaged"][name]

    def take_options(self, names: Collection[str]) -> None:
        """Let options of the optimizer that have changed since its state was saved be as the recipe has them now.

        Raises:
            UsageError: what the optimizer remembers does not fit them.
        """
        for group, given in zip(self.optimizer.param_groups, self._given, strict=True):
            group.update({name: given[name] for name in names if name in given})
        if fault := self._misfit():
            raise UsageError(
                f"the optimizer of player '{self.name}' cannot go on with another {' and '.join(sorted(names))}: what "
                f"the checkpoint remembers of its weights does not fit ({fault})",
                "leave these options as they were, or start a new run: leave out --resume",
            )

    def _misfit(self) -> str:
        """What goes wrong where the optimizer steps with what it remembers: tried on a copy of its smallest weight."""
        known = [parameter for parameter in self.mine if self.optimizer.state.get(parameter)]
        if not known:
            return ""
        smallest = min(known, key=torch.Tensor.numel)
        copied = nn.Parameter(smallest.detach().clone())
        copied.grad = torch.zeros_like(copied)
        try:
            trial = _optimizer(self.use, [copied], {})
            trial.state[copied] = copy.deepcopy(self.optimizer.state[smallest])
            trial.step()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""


def refuse_coupled_weights(use: PlayerUse) -> None:
    """An optimizer that updates weights in shards must treat each of them alone.

    Raises:
        RecipeError: it does not.
    """

    def updated(pieces: int) -> Tensor:
        whole = torch.linspace(-1, 1, 24, dtype=torch.float64).cos().view(4, 6)
        mine = [nn.Parameter(piece.clone()) for piece in whole.chunk(pieces)]
        optimizer = _optimizer(use, mine, {})
        for step in range(3):
            for piece, gradient in zip(mine, (whole * (2 + step)).sin().chunk(pieces), strict=True):
                piece.grad = gradient.clone()
            optimizer.step()
        return torch.cat([piece.detach() for piece in mine])

    try:
        alone = torch.allclose(updated(1), updated(2), rtol=1e-9, atol=1e-12)
    except RecipeError:
        raise
    except Exception:  # such as a step that wants to compute losses itself
        alone = False
    if not alone:
        message = f"run.shard: {use.optimizer.part.name} must see weights whole, and cannot update them in parts"
        cure = (
            "take an optimizer that treats each weight alone, such as adam, adamw, sgd or rmsprop, or leave the "
            f"networks of player '{use.name}' out of run.shard"
        )
        raise RecipeError([Problem(message, use.optimizer.mark, cure)])


def _optimizer(use: PlayerUse, parameters: Sequence[nn.Parameter], more: Mapping[str, Any]) -> torch.optim.Optimizer:
    try:
        return build(use.optimizer, parameters, **more)
    except RecipeError as refused:
        takes = f"it takes: {use.optimizer.part.signature}"
        raise RecipeError([replace(p, cure=p.cure or takes) for p in refused.problems]) from refused
