"""Pictures made up."""

import torch
from torch import Tensor


def scenery(height: int, width: int, channels: int = 3) -> Tensor:
    """A picture whose parts differ, as those of photographs do: dark and plain here, bright and rough there.

    Floats `[1, C, H, W]` in `[-1, 1]`.
    """
    seeded = torch.Generator().manual_seed(height + width)
    rough = torch.rand(1, channels, height, width, generator=seeded)
    across = torch.linspace(0, 1, width)
    return (0.2 + 0.7 * across + rough * across * 0.3).clamp(0, 1) * 2 - 1


def noise(height: int, width: int, channels: int = 3) -> Tensor:
    """uint8 `[C, H, W]`."""
    seeded = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (channels, height, width), dtype=torch.uint8, generator=seeded)
