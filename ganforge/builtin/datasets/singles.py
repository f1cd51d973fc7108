"""Single pictures, with a class or without: what their samples hold, wherever they lie."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch

from ganforge import Sample, images
from ganforge.builtin.datasets.caching import Pictures
from ganforge.builtin.datasets.framing import Framed, FramedDataset, Framing, Layers


class SinglePictures(FramedDataset):
    """What samples of single pictures hold, wherever they lie."""

    stored: images.Storage

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self.framing.shapes({"real": self.stored.channels})

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return self.framing.dtypes({"real": self.stored.channels})

    def groups(self) -> Sequence[Sequence[str]]:
        return [list(self.framing.shapes({"real": self.stored.channels}))]

    def storage(self) -> Mapping[str, images.Storage]:
        return {"real": self.stored}


class WithClasses(SinglePictures):
    """What samples of pictures with a class each hold, wherever they lie."""

    classes: int

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {**super().shapes(), "label": ()}

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {**super().dtypes(), "label": torch.int64}

    def ranges(self) -> Mapping[str, range]:
        return {"label": range(self.classes)}


class Pictured(Framed):
    """Pictures of one kind, as the field `real`."""

    def __init__(self, framing: Framing, real: Pictures, channels: int) -> None:
        super().__init__(framing, real)
        self.layers = Layers.of({"real": channels}, framing)

    def sample(self, index: int, rng: random.Random) -> Sample:
        return self.layers.fields(self.framing.augment(self.held[0][index], rng))

    def batch(self, indices: Sequence[int], rngs: Sequence[random.Random]) -> Sample:
        return self.layers.fields(self.framing.batch(self.held[0], indices, rngs))
