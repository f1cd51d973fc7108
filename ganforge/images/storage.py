"""How the pictures of a field are stored: which channels, depth and range their files have, and networks do not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import annotated_types
import numpy as np
import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass
from torch import Tensor

from ganforge.errors import BadFile
from ganforge.images.depths import Unfit
from ganforge.images.reading import Keep, decode_with, read_with
from ganforge.images.values import to_float, to_uint8, to_uint16

Depth = Literal[8, 16, "float"]
"""What a channel's values are in files: whole numbers of 8 or 16 bits, or floats."""
Limits = tuple[float, float]
"""The values that are black, -1, and white, 1."""
_Percent = Annotated[float, annotated_types.Ge(0), annotated_types.Le(100)]


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Percentiles:
    """Black and white of each file by itself: the values below which so many per cent of its values lie."""

    percentiles: tuple[_Percent, _Percent]

    def __post_init__(self) -> None:
        low, high = self.percentiles
        if low >= high:
            raise ValueError(f"percentiles go from low to high, and these are {low:g} and {high:g}")


Range = Limits | Percentiles | Literal["file"] | None
"""Which values are black and white: two numbers; percentiles of each file; `file`, the lowest and the highest of each
file; None: the lowest and the highest that the depth has."""


@dataclass(frozen=True)
class Storage:
    """Channels, depth and range of the pictures of a field.

    In training, pictures of 8 bits travel as uint8 and those of 16 bits as uint16, as long as `range` is None; all
    others as float32 in `[-1, 1]`, values beyond the range clamped.

    Args:
        channels: how many; a file with others is converted where that is a matter of course (grey, colours and
            transparency), and refused otherwise.
        depth: of the files; a deeper file is rounded to it where no `range` says which values count.
        range: see `Range`.

    Raises:
        ValueError: the depth is `float` and no range says what is black and white; or the range is empty.
    """

    channels: int = 3
    depth: Depth = 8
    range: Range = None

    def __post_init__(self) -> None:
        if self.depth == "float" and self.range is None:
            raise ValueError(
                "`depth: float` needs a range: which values are black and white, such as `range: [0, 1]`; "
                "or `range: file` for each file's own, or `range: {percentiles: [1, 99]}`"
            )
        if isinstance(self.range, tuple) and not self.range[0] < self.range[1]:
            raise ValueError(f"a range goes from black to white, and this one from {self.range[0]} to {self.range[1]}")
        if isinstance(self.range, tuple) and (problem := self._beyond(*self.range)):
            raise ValueError(f"the range goes {problem[0]}; {problem[1]}")

    def _beyond(self, low: float, high: float) -> tuple[str, str] | None:
        """Why results from black to white cannot be stored in this depth, and the cure; None if they can."""
        if self.depth == "float":
            return None
        top = 255 if self.depth == 8 else 65535
        span = f"from {low:g} to {high:g}, and `depth: {self.depth}` holds whole numbers from 0 to {top}"
        if low < 0 or high > top:
            return span, "say `depth: 16`" if self.depth == 8 and low >= 0 and high <= 65535 else "say `depth: float`"
        return (span, "say `depth: float`") if 0 < high - low < 2 else None

    @property
    def by_file(self) -> bool:
        """Whether each file has black and white of its own."""
        return self.range is not None and not isinstance(self.range, tuple)

    @property
    def scaling(self) -> str:
        """How values of files become those of networks, in words and numbers."""
        match self.range:
            case None:
                return "value / 127.5 - 1" if self.depth == 8 else "value / 32767.5 - 1"
            case "file":
                return "(value - low) / (high - low) * 2 - 1, low and high the extremes of a picture"
            case Percentiles(percentiles=(first, last)):
                which = f"the percentiles {first:g} and {last:g} of a picture, clamped"
                return f"(value - low) / (high - low) * 2 - 1, low and high {which}"
            case (low, high):
                return f"(value - {low:g}) / {high - low:g} * 2 - 1, clamped"

    @property
    def plain(self) -> bool:
        """Whether pictures are stored as all programs do: bytes, from black to white."""
        return self.depth == 8 and self.range is None

    def read(self, path: Path) -> Tensor:
        """The picture of a file, as it travels: `[channels, H, W]`.

        Raises:
            BadFile: it cannot be read, or does not fit.
        """
        return self.read_with_limits(path)[0]

    def read_with_limits(self, path: Path) -> tuple[Tensor, Limits | None]:
        """The same, with black and white of the file where each has its own.

        Raises:
            BadFile: as `read`.
        """
        stored = read_with(path, self.channels, self._keep)
        try:
            limits = self.limits(stored) if self.by_file else None
            return self.seen(stored, limits), limits
        except Unfit as error:
            raise BadFile(f"cannot read the picture {path}: {error}", error.cure) from error

    def decode(self, data: bytes) -> Tensor:
        """The picture of a file's bytes, as `read`.

        Raises:
            ValueError: what is wrong with them.
        """
        return self.seen(decode_with(data, self.channels, self._keep))

    def seen(self, stored: Tensor, limits: Limits | None = None) -> Tensor:
        """Values of a file as they travel; `limits` are black and white, by default those of the range.

        Raises:
            ValueError: some are no numbers.
        """
        if self.range is None:
            return _AS[self.depth](stored)
        if stored.is_floating_point() and not bool(stored.isfinite().all()):
            raise Unfit("it holds NaN or infinity", "replace the file, or take it out")
        low, high = limits or self.limits(stored)
        scaled = stored.to(torch.float64, copy=True).sub_(low).mul_(2 / (high - low) if high > low else 0).sub_(1)
        return scaled.clamp_(-1, 1).float()

    def limits(self, stored: Tensor) -> Limits:
        """Black and white of a file with these values."""
        match self.range:
            case Percentiles(percentiles=both):
                found = np.percentile(stored.numpy().astype(np.float64), both)
                return self._of_file(float(found[0]), float(found[1]))
            case "file":
                low, high = stored.double().aminmax()
                return self._of_file(float(low), float(high))
            case None:
                return 0.0, 65535.0 if self.depth == 16 else 255.0
        return self.range

    def _of_file(self, low: float, high: float) -> Limits:
        if problem := self._beyond(low, high):
            raise Unfit(f"its values go {problem[0]}", f"{problem[1]} in the recipe (of domain A `depth_a`)")
        return low, high

    def stored(self, picture: Tensor, limits: Limits | None = None) -> Tensor:
        """A network's picture, floats in `[-1, 1]`, as the values of a file: uint8, uint16 or float32 by the depth.

        Args:
            limits: black and white, for ranges that each file has of its own; by default those of the picture that it
                was made of are not known, and the whole depth is used (floats: -1 to 1).
        """
        if self.range is None:
            return _AS[self.depth](picture)
        if self.by_file and limits is None:
            limits = (-1.0, 1.0) if self.depth == "float" else Storage(self.channels, self.depth).limits(picture)
        low, high = limits or self.limits(picture)
        values = (picture.double().clamp(-1, 1) + 1) * ((high - low) / 2) + low
        if self.depth == "float":
            return values.float()
        top, whole = (255, torch.uint8) if self.depth == 8 else (65535, torch.uint16)
        return values.round_().clamp_(0, top).to(torch.int32).to(whole)

    @property
    def _keep(self) -> Keep:
        if self.range is not None:
            return "numbers"
        return "bytes" if self.depth == 8 else "deep"


_AS: dict[Depth, Callable[[Tensor], Tensor]] = {8: to_uint8, 16: to_uint16, "float": to_float}


def read_mask(path: Path) -> Tensor:
    """A file as a mask: uint8 `[1, H, W]`, 255 where it is brighter than grey, else 0.

    Raises:
        BadFile: it cannot be read.
    """
    return as_mask(read_with(path, 1, "numbers"))


def as_mask(numbers: Tensor) -> Tensor:
    """Numbers of a mask as 0 and 255, uint8: those beyond half of white. White is 1 where nothing is above it, as where
    masks are stored as 0 and 1, and else 255, or 65535; of floats in `[-1, 1]` it is 1, and black -1."""
    values = numbers.double()
    if values.numel() and float(values.min()) < 0:
        values = (values + 1) / 2
    high = float(values.max()) if values.numel() else 0.0
    white = next((white for white in (1, 255, 65535) if high <= white), high)
    return ((values > white / 2) * 255).to(torch.uint8)
