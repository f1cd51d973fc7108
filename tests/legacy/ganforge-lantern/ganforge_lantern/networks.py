"""Networks: a class that can be recognised, one that returns several outputs, and a function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

Count = Annotated[int, Field(ge=1)]


class Wick(nn.Module):
    """Lights a room.

    Args:
        channels: of the layer in the middle.
        glow: what ends it.
    """

    def __init__(self, channels: Count = 8, glow: Literal["tanh", "none"] = "tanh") -> None:
        super().__init__()
        self.into = nn.Conv2d(3, channels, 3, padding=1)
        self.out = nn.Conv2d(channels, 3, 3, padding=1)
        self.glow = nn.Tanh() if glow == "tanh" else nn.Identity()

    @classmethod
    def recognise(cls, weights: Mapping[str, Tensor]) -> tuple[dict[str, Any], Mapping[str, Tensor]] | None:
        """The options that published weights belong to, and the weights by today's names."""
        if not weights.keys() >= {"a.weight", "a.bias", "b.weight", "b.bias"}:
            return None
        names = {"a": "into", "b": "out"}
        return {"channels": len(weights["a.bias"])}, {f"{names[key[0]]}{key[1:]}": t for key, t in weights.items()}

    def forward(self, images: Tensor) -> Tensor:
        """Light images `[N, 3, H, W]` in `[-1, 1]`."""
        return self.glow(self.out(torch.relu(self.into(images))))

    def hidden(self, images: Tensor) -> Tensor:
        """What is found in images: `[N, channels, H, W]`."""
        return torch.relu(self.into(images))


class Judged(NamedTuple):
    """What the keeper says."""

    logits: Tensor
    features: Tensor


class Keeper(nn.Module):
    """Says whether a room is really lit."""

    def __init__(self, channels: Count = 8) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(3, channels, 4, 2, 1), nn.BatchNorm2d(channels), nn.LeakyReLU(0.2))
        self.say = nn.Conv2d(channels, 1, 4, 2, 1)

    def forward(self, images: Tensor) -> Judged:
        """Judge images `[N, 3, H, W]`."""
        features = self.look(images)
        return Judged(self.say(features), features)


def small_wick(glow: Literal["tanh", "none"] = "none") -> nn.Module:
    """A wick of two channels."""
    return Wick(2, glow)
