"""Which sizes of pictures a graph takes, found on fake tensors: it costs no memory, and little time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ganforge.core.torch_internals.fake import FakeTensorMode
from ganforge.inference.export.graph import Graph
from ganforge.inference.export.silence import quiet

MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class Sizes:
    """The sides that a graph takes: the multiples of `multiple` from `smallest` on."""

    crop: Size
    """The size that the recipe trains on."""
    multiple: int | None
    """What sides must be a multiple of; None: the graph takes the recipe's crop and nothing else."""
    smallest: int
    """The least side, in pixels."""

    def __str__(self) -> str:
        if self.multiple is None:
            return f"{self.crop[0]} x {self.crop[1]} pixels only"
        steps = "" if self.multiple == 1 else f", multiples of {self.multiple}"
        return f"from {self.smallest} x {self.smallest} pixels on{steps}"

    def three(self) -> list[Size]:
        """The crop, something wider and flatter, and something larger; the crop alone where nothing else fits."""
        if self.multiple is None:
            return [self.crop]
        height, width = (self._fitted(side) for side in self.crop)
        step = self._fitted(height // 4)
        return [(height, width), (max(self.smallest, self._fitted(height // 2)), width + step), (height + step, width)]

    def _fitted(self, side: int) -> int:
        multiple = self.multiple or 1
        return max(multiple, -(-side // multiple) * multiple)


def find_sizes(graph: Graph, crop: Size, drawn: list[torch.Tensor]) -> Sizes:
    """Try the graph on pictures near the recipe's crop.

    Args:
        graph: what is exported.
        crop: the recipe's.
        drawn: what is drawn for it, for a batch of any size.
    """

    def takes(height: int, width: int) -> bool:
        try:
            with quiet(), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
                graph(*graph.blank(2, (height, width), drawn))
        except (RuntimeError, ValueError):  # as networks refuse sizes
            return False
        return True

    least = min(crop)
    for multiple in MULTIPLES:
        side = -(-max(crop) // multiple) * multiple
        if takes(side + multiple, side + 2 * multiple):
            smallest = multiple
            while smallest < least and not takes(smallest, smallest):
                smallest *= 2
            return Sizes(crop, multiple, min(smallest, -(-least // multiple) * multiple))
    return Sizes(crop, None, least)
