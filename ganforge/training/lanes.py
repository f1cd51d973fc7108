"""The lanes of a step that a rank computes: parts of the batch with a state of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganforge.core.nested import map_tensors
from ganforge.core.randomness import derive_seed, random_state, restore_random_state, seed_all
from ganforge.core.sections import expect
from ganforge.ranks import World
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.recipe.model import Recipe
from ganforge.step.cast import Cast, build_ops


@dataclass
class Lane:
    """What belongs to a part of the batch: ops, random generators, and within a step the buffers of modules."""

    cast: Cast
    random: dict[str, Any] = field(default_factory=dict)
    """The states of the global generators, while another lane is at work."""
    buffers: list[Tensor] = field(default_factory=list)

    SECTIONS: ClassVar = ("ops", "op_rngs", "random")
    """The sections of a checkpoint that belong to a lane."""

    def state_dict(self) -> dict[str, Any]:
        return {
            "ops": {name: op.state_dict() for name, op in _stateful(self.cast.ops)},
            "op_rngs": {name: rng.getstate() for name, rng in self.cast.rngs.items()},
            "random": self.random,
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device, dtype: torch.dtype | None = None) -> None:
        """Restore what `state_dict` gave; floats as `dtype`, where it was saved in another precision."""

        def placed(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype) if dtype and tensor.is_floating_point() else tensor.to(device)

        expect(state, "lane", self.SECTIONS)
        expect(state["ops"], "lane.ops", dict(_stateful(self.cast.ops)))
        expect(state["op_rngs"], "lane.op_rngs", self.cast.rngs)
        for name, op in _stateful(self.cast.ops):
            op.load_state_dict(map_tensors(placed, state["ops"][name]))
        for name, rng in self.cast.rngs.items():
            rng.setstate(state["op_rngs"][name])
        self.random = state["random"]


def lane_seed(seed: int, lane: int) -> int:
    """The seed of a lane; the first has the run's own."""
    return derive_seed(seed, "lane", lane) if lane else seed


class Lanes:
    """The lanes of this rank; one of them is at work. Where there is only one, it always is."""

    def __init__(self, recipe: Recipe, cast: Cast, precision: Precision, division: Division, world: World) -> None:
        self.precision, self.division, self.world = precision, division, world
        self.modules = cast.modules
        self.held: list[Lane] = []
        for lane in division.mine:
            if lane:
                ops, rngs = build_ops(recipe, precision.place, lane_seed(recipe.run.seed, lane))
            self.held.append(Lane(replace(cast, ops=ops, rngs=rngs) if lane else cast))
        self.seeds = [lane_seed(recipe.run.seed, lane) for lane in division.mine]

    def portion(self, passes: int) -> float:
        """What part a pass is of the mean over all samples of a step, of which this rank makes so many passes."""
        return len(self.held) / (passes * self.division.lanes)

    def seed(self) -> None:
        """Seed the random generators of each lane."""
        for lane, seed in reversed(list(zip(self.held, self.seeds, strict=True))):
            seed_all(seed)
            lane.random = random_state()

    @contextmanager
    def at_work(self, number: int) -> Iterator[None]:
        """Let a lane of this rank work: its random numbers are drawn, its buffers written."""
        if len(self.held) == 1:
            yield
            return
        lane = self.held[number]
        restore_random_state(lane.random)
        with torch.no_grad():
            for target, value in zip(self._buffers(), lane.buffers, strict=True):
                target.copy_(value)
        try:
            yield
        finally:
            lane.random = random_state()
            lane.buffers = [buffer.clone() for buffer in self._buffers()]

    def begin(self) -> None:
        """Begin a step: all lanes start from the same buffers."""
        if len(self.held) > 1:
            for lane in self.held:
                lane.buffers = [buffer.clone() for buffer in self._buffers()]

    @torch.no_grad()
    def end(self) -> None:
        """A step is over: running statistics become the mean of all lanes'.

        In float64, where the mean of equal numbers is that number.
        """
        if self.division.lanes == 1:
            return
        buffers = self._buffers()
        each = self._each()
        floating = [number for number, buffer in enumerate(buffers) if buffer.is_floating_point() and buffer.numel()]
        if not floating:
            return
        total = sum(torch.cat([held[number].double().flatten() for number in floating]) for held in each)
        assert isinstance(total, Tensor)
        self.world.add_up(total)
        total /= self.division.lanes
        means = total.split([buffers[number].numel() for number in floating])
        for number, mean in zip(floating, means, strict=True):
            buffers[number].copy_(mean.view_as(buffers[number]))
        for held in each if len(self.held) > 1 else []:
            for number, count in enumerate(held):  # what counts has counted alike in all of them
                if not count.is_floating_point():
                    buffers[number].copy_(count)

    def buffers(self) -> list[list[Tensor]]:
        """Copies of what each lane of this rank has now in the buffers of modules."""
        return [[buffer.clone() for buffer in held] for held in self._each()]

    @torch.no_grad()
    def mend(self, sound: Sequence[Sequence[Tensor]]) -> None:
        """Put back those buffers that are not finite any more: a phase that is left out leaves nothing behind."""
        for held, before in zip(self._each(), sound, strict=True):
            for buffer, sane in zip(held, before, strict=True):
                if buffer.is_floating_point() and not bool(torch.isfinite(buffer).all()):
                    buffer.copy_(sane)

    def _each(self) -> list[list[Tensor]]:
        return [lane.buffers for lane in self.held] if len(self.held) > 1 else [self._buffers()]

    def _buffers(self) -> list[Tensor]:
        """The buffers of the networks that learn, and of losses."""
        return [buffer for module in self.modules for buffer in module.buffers()]

    # Checkpoints

    def captured(self) -> list[dict[str, Any]] | None:
        """The states of all lanes, of other ranks too, at rank 0; None elsewhere."""
        if len(self.held) == 1:
            self.held[0].random = random_state()
        mine = [lane.state_dict() for lane in self.held]
        if not self.world.leads:
            for state in mine:
                self.world.send(state, 0)
            return None
        others = range(len(mine), self.division.lanes)
        return mine + [self.world.receive(self.division.owner(lane)) for lane in others]

    def put_back(self, states: Sequence[dict[str, Any]] | None, weights: torch.dtype | None = None) -> None:
        """Restore what `captured` gave to rank 0; `weights` is the type of the weights that were saved with it."""
        dtype = self.precision.weights if weights not in (None, self.precision.weights) else None
        if self.world.leads:
            assert states is not None
            for number in range(len(self.held), self.division.lanes):
                self.world.send(states[number], self.division.owner(number))
            mine = list(states[: len(self.held)])
        else:
            mine = [self.world.receive(0) for _ in self.held]
        for lane, state in zip(self.held, mine, strict=True):
            lane.load_state_dict(state, self.precision.device, dtype)
        restore_random_state(self.held[0].random)


def _stateful(ops: dict[str, Callable[..., Any]]) -> list[tuple[str, Any]]:
    return [(name, op) for name, op in ops.items() if hasattr(op, "state_dict")]
