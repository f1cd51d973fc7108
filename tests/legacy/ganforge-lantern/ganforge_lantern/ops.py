"""Ops: a function that is told of the step, and a class with a state."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganforge import Context, traits


def flicker(images: Tensor, strength: Annotated[float, Field(ge=0)] = 0.1, *, context: Context) -> Tensor:
    """Images `[N, C, H, W]`, each lighter or darker as a whole."""
    return images + strength * torch.randn(context.batch_size, 1, 1, 1, device=context.device, dtype=context.dtype)


@traits(replays=True)
class Memory:
    """Hands back what it was given last time, now and then.

    Args:
        chance: how often.
        rng: decides when; filled in by the engine.
    """

    def __init__(self, chance: Annotated[float, Field(ge=0, le=1)] = 0.5, *, rng: random.Random) -> None:
        self.chance, self.rng = chance, rng
        self.last: Tensor | None = None
        self.seen = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += 1
        last, self.last = self.last, images.detach()
        return last if last is not None and self.rng.random() < self.chance else images

    def statistics(self) -> dict[str, float]:
        """What TensorBoard shows of it."""
        return {"seen": float(self.seen)}

    def state_dict(self) -> dict[str, Any]:
        """All that it keeps."""
        return {"last": self.last, "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.last, self.seen = state["last"], state["seen"]
