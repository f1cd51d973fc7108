"""Rooms, dark and lit: drawn in memory, or read from a folder."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganforge import Dataset, EnvironmentFault, Sample, Samples
from ganforge.images import RESIZER, centre_square, list_images, read_image, resize, to_float


class Rooms(Dataset):
    """Dark rooms, and others that are lit.

    Fields: `dark`, `lit`, float `[3, size_px, size_px]` in `[-1, 1]`; `lamps`, int64 `[]`. Validation samples have
    `truth`, the dark room lit.

    Args:
        size_px: the side of a picture.
        count: training samples.
        root: a folder of pictures of lit rooms; without one they are drawn.
    """

    resizer = RESIZER

    def __init__(
        self,
        size_px: Annotated[int, Field(ge=8)] = 16,
        count: Annotated[int, Field(ge=1)] = 8,
        root: Path | None = None,
    ) -> None:
        self.size_px, self.count, self.root = size_px, count, root

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"dark": (3, self.size_px, self.size_px), "lit": (3, self.size_px, self.size_px), "lamps": ()}

    def validation_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {**self.shapes(), "truth": (3, self.size_px, self.size_px)}

    def dtypes(self) -> Mapping[str, torch.dtype]:
        return {"lamps": torch.int64}

    def ranges(self) -> Mapping[str, range]:
        return {"lamps": range(3)}

    def known_length(self) -> int:
        return self.count

    def truths(self) -> Mapping[str, str]:
        return {"dark": "truth"}

    def prepare(self) -> None:
        if self.root is not None and not self.files():
            raise EnvironmentFault(f"{self.root} holds no pictures\n  put pictures of lit rooms there")

    def files(self) -> Sequence[Path]:
        return list_images(self.root) if self.root is not None else ()

    def remarks(self) -> Sequence[str]:
        return [f"rooms of {self.size_px} pixels"]

    def train(self) -> Samples:
        return _Drawn(self, self.count, truth=False)

    def validation(self) -> Samples:
        return _Drawn(self, 4, truth=True)


class _Drawn(Samples):
    def __init__(self, rooms: Rooms, count: int, truth: bool) -> None:
        self.rooms, self.count, self.truth = rooms, count, truth
        self.files = rooms.files()

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, rng: random.Random) -> Sample:
        room, lit = self._room(index), self._lit(index, rng)
        sample = {"dark": room / 2 - 0.5, "lit": lit, "lamps": torch.tensor(index % 3)}
        return sample | ({"truth": room} if self.truth else {})

    def _lit(self, index: int, rng: random.Random) -> Tensor:
        if not self.files:
            return self._room(index + 7) if rng.random() < 0.5 else self._room(index + 9)
        picture = centre_square(read_image(self.files[index % len(self.files)]))
        return to_float(resize(picture, self.rooms.size_px, self.rooms.size_px))

    def _room(self, index: int) -> Tensor:
        """A room with a lamp somewhere, in `[-1, 1]`."""
        line = torch.linspace(-1, 1, self.rooms.size_px)
        x, y = (index * 0.37) % 1.6 - 0.8, (index * 0.61) % 1.6 - 0.8
        glow = torch.exp(-4 * ((line[None, :] - x).square() + (line[:, None] - y).square()))
        return glow.expand(3, -1, -1) * 2 - 1
