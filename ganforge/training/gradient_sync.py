"""Gradients averaged over ranks: once a phase, in large buckets, and while the backward pass goes on.

No wrapper around networks: what is exchanged is what lies in the parameters when all backward passes of the phase are
done, so penalties that differentiate twice, and phases that leave parameters out, are right by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ganforge.core.torch_internals.tensors import copy_each, zero_each
from ganforge.errors import TrainingFailed
from ganforge.ranks import World
from ganforge.step.program import Turn
from ganforge.step.sharding import is_sharded, own_shard

BUCKET_BYTES = 32 * 2**20


class Bucket:
    """Gradients of some parameters of one type, one after the other in memory; then, perhaps, one number more.

    It is of that type, and on that device, as the first parameter is, or else the tensor `like`.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], more: bool, like: Tensor) -> None:
        self.parameters = parameters
        sizes = [parameter.numel() for parameter in parameters]
        first = parameters[0] if parameters else like
        self.flat = torch.zeros(sum(sizes) + more, dtype=first.dtype, device=first.device)
        pieces = self.flat.split([*sizes, 1] if more else sizes)
        self.views = [piece.view_as(p) for piece, p in zip(pieces, parameters, strict=False)]
        self.missing = len(parameters)
        self.work: Any = None

    @torch.no_grad()
    def launch(self) -> None:
        """Begin to sum a bucket over all ranks, in the background."""
        missing = [v for v, p in zip(self.views, self.parameters, strict=True) if p.grad is None]
        if missing:
            zero_each(missing)
        there = [(v, p.grad) for v, p in zip(self.views, self.parameters, strict=True) if p.grad is not None]
        if there:
            copy_each([view for view, _ in there], [gradient for _, gradient in there])
        self.work = dist.all_reduce(self.flat, async_op=True)

    @torch.no_grad()
    def finish(self) -> None:
        """Wait for the sum, and put it into the parameters."""
        self.work.wait()
        self.work, self.missing = None, len(self.parameters)
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if gradients:
            copy_each(gradients, self.views)


class Layout:
    """The buckets of a phase: of the parameters that get gradients in it."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self.buckets = buckets
        self.places: dict[Tensor, Bucket] = {p: bucket for bucket in buckets for p in bucket.parameters}


class Averaging:
    """The gradients of one player, which become the same on all ranks.

    Losses were scaled so that the sum over the ranks is the mean. Of parameters in parts the backward pass itself sums
    the gradients.
    """

    def __init__(self, player: str, parameters: Sequence[nn.Parameter], world: World, overlap: bool) -> None:
        self.player, self.world = player, world
        self.parameters = [parameter for parameter in parameters if not is_sharded(parameter)]
        self.like = own_shard(parameters[0].detach()) if parameters else torch.empty(0)
        self.layouts: dict[Turn, Layout] = {}
        """The buckets of each kind of phase."""
        self.armed: Layout | None = None
        if overlap and world.size > 1:
            for parameter in self.parameters:
                parameter.register_post_accumulate_grad_hook(self._ready)

    def arm(self, turn: Turn) -> None:
        """The last backward pass of a phase begins: whatever it finishes may be exchanged."""
        self.armed = self.layouts.get(turn)

    def _ready(self, parameter: Tensor) -> None:
        """Note that the gradient of a parameter is there."""
        if self.armed is None or parameter not in self.armed.places:
            return
        self.armed.places[parameter].missing -= 1
        # In one order on all ranks; the last carries the verdict of the whole phase, and waits for it.
        for bucket in self.armed.buckets[:-1]:
            if bucket.work is None:
                if bucket.missing:
                    return
                with self.world.noticing():
                    bucket.launch()

    def exchange(self, turn: Turn, bad: int) -> Tensor:
        """Sum all gradients, and the number of bad losses, which is returned on the device.

        Raises:
            PeerLost: a rank is gone.
            TrainingFailed: a parameter has a gradient that it had not before.
        """
        layout = self.layouts.get(turn)
        if layout is None:
            layout = self.layouts[turn] = self._layout()
        self.armed = None
        if any(p.grad is not None and p not in layout.places for p in self.parameters):
            raise TrainingFailed(
                f"a parameter of player '{self.player}' has a gradient in phase '{turn.phase.name}' that no rank had "
                "when it first ran",
                "a network that leaves parameters out by chance cannot be averaged over ranks: "
                "let it use all of them, if only multiplied by 0",
            )
        last = layout.buckets[-1]
        last.flat[-1] = bad
        with self.world.noticing():
            for bucket in layout.buckets:
                if bucket.work is None:
                    bucket.launch()
            for bucket in layout.buckets:
                bucket.finish()
        return last.flat[-1]

    def _layout(self) -> Layout:
        """Buckets of what any rank has gradients for; from the last parameter on, as backward passes come to them."""
        mine = [number for number, parameter in enumerate(self.parameters) if parameter.grad is not None]
        used = sorted(set().union(*self.world.gather(mine)), reverse=True)
        groups: list[list[nn.Parameter]] = []
        size = 0
        for parameter in (self.parameters[number] for number in used):
            alike = groups and (groups[-1][0].dtype, groups[-1][0].device) == (parameter.dtype, parameter.device)
            if not alike or size + parameter.nbytes > BUCKET_BYTES:
                groups.append([])
                size = 0
            groups[-1].append(parameter)
            size += parameter.nbytes
        groups = groups or [[]]  # the number of bad losses is exchanged in any case
        return Layout([Bucket(group, more=group is groups[-1], like=self.like) for group in groups])
