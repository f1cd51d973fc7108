"""Networks: plain modules. Devices, precision and freezing are the engine's business."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn


class DilatedGenerator(nn.Module):
    """Translates images at full size: convolutions whose reach doubles from one to the next, and a shortcut.

    After Yu and Koltun 2016, "Multi-Scale Context Aggregation by Dilated Convolutions",
    https://arxiv.org/abs/1511.07122.

    Args:
        channels: channels between the layers.
        layers: dilated convolutions; the last one looks `2 ** layers` pixels far.
    """

    def __init__(
        self, channels: Annotated[int, Field(ge=1)] = 16, layers: Annotated[int, Field(ge=1, le=8)] = 4
    ) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        width = 3
        for layer in range(layers):
            reach = 2**layer
            modules += [nn.Conv2d(width, channels, 3, padding=reach, dilation=reach), nn.InstanceNorm2d(channels)]
            modules += [nn.LeakyReLU(0.2)]
            width = channels
        self.layers = nn.Sequential(*modules, nn.Conv2d(width, 3, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Translate images `[N, 3, H, W]` in `[-1, 1]`; the result has their shape and range."""
        return torch.tanh(self.layers(images) + images)
