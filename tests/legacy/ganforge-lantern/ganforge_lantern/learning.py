"""A schedule with a length in two ways, and an optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from ganforge import Progress, Share, traits


@traits(one_of=(("steps", "over"),))
def dim(
    progress: Progress,
    end: Annotated[float, Field(ge=0, le=1)] = 0.5,
    steps: Annotated[int, Field(ge=1)] | None = None,
    over: Share | None = None,
) -> float:
    """A straight line from 1 to `end`.

    Args:
        progress: filled in by the engine.
        end: the last factor.
        steps: how long it takes.
        over: how long it takes, as a share of the run.
    """
    length = over.of(progress.total_steps) if over is not None else float(steps or 1)
    done = min(1.0, progress.step / max(1.0, length))
    return 1 + (end - 1) * done


def gentle(
    params: Iterable[nn.Parameter], lr: Annotated[float, Field(gt=0)] = 1e-3, momentum: float = 0.5
) -> torch.optim.Optimizer:
    """Adam with little momentum.

    Args:
        params: what learns.
        lr: the step size.
        momentum: Adam's first beta.
    """
    return torch.optim.Adam(params, lr=lr, betas=(momentum, 0.99))
