"""Mirroring by chance: FastCUT asks that the translation of a mirrored picture be the mirrored translation."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import Context


def coin(chance: Annotated[float, Field(ge=0, le=1)] = 0.5, *, context: Context) -> Tensor:
    """A toss for each sample of the batch, bool `[N]`, true with this chance.

    For the flip-equivariance of FastCUT (Park et al. 2020, appendix, https://arxiv.org/abs/2007.15651). Give it a name
    as a signal: then all that is mirrored in a step follows the same toss.

    Args:
        chance: of true.
    """
    return torch.rand(context.batch_size, device=context.device) < chance


def mirror(value: Tensor | Sequence[Tensor], flag: Tensor) -> Tensor | list[Tensor]:
    """Images or feature maps `[N, C, H, W]`, or a list of them, left for right where `flag` `[N]` is true.

    For the flip-equivariance of FastCUT (Park et al. 2020, appendix, https://arxiv.org/abs/2007.15651).
    """
    where = flag.view(-1, 1, 1, 1)
    if isinstance(value, Tensor):
        return torch.where(where, value.flip(3), value)
    return [torch.where(where, each.flip(3), each) for each in value]
