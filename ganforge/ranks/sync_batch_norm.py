"""Batch norms that take their statistics over all ranks.

torch's own `SyncBatchNorm` needs a GPU and cannot be differentiated twice. This one is plain arithmetic around one sum
over the ranks, whose gradient is again one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm


class _Sum(torch.autograd.Function):
    """The sum over all ranks. What each rank's loss makes of it is in the gradient, which is summed likewise."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return _Sum.apply(gradients[0])


class SyncBatchNorm(nn.Module):
    """A batch norm's arithmetic over the samples of all ranks; its weights and running statistics stay its own."""

    couples_samples = True
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = norm.num_features, norm.eps, norm.momentum
        self.weight, self.bias = norm.weight, norm.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, ...]`, as it came.

        In evaluation no other rank is asked: panels are drawn by one alone. Where no statistics run, as in torch's own
        norm, those of the batch stand in.
        """
        if not self.training:
            own = self.running_mean is None
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, own, eps=self.eps)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        axes = [axis for axis in range(x.ndim) if axis != 1]
        mean, variance, count = self._statistics(wide, axes)
        self._follow(mean.detach(), variance.detach(), count)
        shape = [1, -1, *[1] * (x.ndim - 2)]
        scale = (variance + self.eps).rsqrt()
        shift = -mean * scale
        if self.weight is not None:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        return (wide * scale.view(shape) + shift.view(shape)).to(x.dtype)

    def _statistics(self, x: Tensor, axes: list[int]) -> tuple[Tensor, Tensor, float]:
        """Mean and variance over all samples, and how many numbers that are; each rank's own are put together."""
        ranks, rank = dist.get_world_size(), dist.get_rank()
        count = x.numel() / x.shape[1]
        variance, mean = torch.var_mean(x, axes, correction=0)
        own = torch.stack([mean, variance])
        rows = [own if number == rank else torch.zeros_like(own) for number in range(ranks)]
        means, variances = _Sum.apply(torch.stack(rows)).unbind(1)
        # All ranks have as many samples: so it is divided.
        together = means.mean(0)
        return together, (variances + (means - together).square()).mean(0), count * ranks

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: float) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        pace = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), pace)
        unbiased = variance * (count / max(1.0, count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), pace)


def synchronise(network: nn.Module) -> nn.Module:
    """The network with its batch norms in step with those of other ranks; their names and weights stay."""
    for name, child in network.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, _InstanceNorm):
            setattr(network, name, SyncBatchNorm(child))
        else:
            synchronise(child)
    return network
