"""How pictures become training samples: brought to a size, cropped at random, mirrored at random."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import default_collate

from ganforge import Dataset, Sample, Samples, images
from ganforge.builtin.datasets.caching import Pictures
from ganforge.images.values import WHITE

Side = Annotated[int, Field(ge=1)]
Size = Side | tuple[Side, Side]
"""Pixels: the side of a square, or height and width."""
Fit = Literal["squeeze", "cover", "contain", "none"]
"""How a picture of other proportions is brought to a size: squeezed; covering it, what juts out cut off; contained in
it, the rest black; or not at all, at its own scale."""
Scale = Side | dict[Literal["shorter", "longer"], Side]
"""What one side of a picture becomes, the other in proportion: the shorter one, or the one that is named."""

LOAD_PX = 286
"""The size before the crop, as in Isola et al. and Zhu et al. for samples of 256 pixels."""


@dataclass(frozen=True)
class Framing:
    """Pictures are brought to `load_px`, cropped to `crop_px` and, if asked, mirrored.

    Args:
        load_px: the size before the crop, as an int or `(height, width)`; None, where it is not scaled to a size.
        crop_px: the size of a sample.
        flip: mirror left to right with probability 1/2.
        fit: see `Fit`.
        scale_px: for the fit `none`, see `Scale`; None keeps the scale.
        mask: whether a further channel says where the picture is, and where it was filled up.
        centred: take the centre: for validation.

    Raises:
        ValueError: the crop is larger than what is loaded; an option does not go with the fit.
    """

    load_px: Size | None
    crop_px: Size
    flip: bool
    fit: Fit = "squeeze"
    scale_px: Scale | None = None
    mask: bool = False
    centred: bool = False

    def __post_init__(self) -> None:
        if self.fit != "none" and any(load < crop for load, crop in zip(self.load, self.crop, strict=True)):
            load, crop = _shown(self.load_px), _shown(self.crop_px)
            raise ValueError(
                f"cannot crop {crop} px from pictures of {load} px; "
                f"raise load_px to at least {crop}, or lower crop_px to at most {load}"
            )
        if self.scale_px is not None and self.fit != "none":
            raise ValueError(f"`scale_px` keeps a picture's proportions, as `fit: none` does, and not `{self.fit}`")
        if self.mask and self.fit != "contain":
            raise ValueError(f"`mask` says where `fit: contain` has filled up, and `fit: {self.fit}` fills up nothing")
        if isinstance(self.scale_px, dict) and len(self.scale_px) != 1:
            raise ValueError("`scale_px` names one side: `{shorter: 512}` or `{longer: 512}`")

    @classmethod
    def of(
        cls,
        load_px: Size | None,
        crop_px: Size,
        flip: bool,
        fit: Fit = "squeeze",
        scale_px: Scale | None = None,
        mask: bool = False,
    ) -> Framing:
        """What a recipe says. The usual size before the crop, 286, is for samples of 256: those that are no squares are
        enlarged as much, and where the scale is kept it says nothing.

        Raises:
            ValueError: as the constructor; one number is given for samples of a height and a width; or one that says
                nothing.
        """
        if fit == "none" and load_px not in (None, LOAD_PX):
            raise ValueError("`fit: none` keeps the scale of pictures: leave out `load_px`, or say `scale_px`")
        if fit == "none":
            load_px = None
        elif isinstance(load_px, int) and not isinstance(crop_px, int):
            if load_px != LOAD_PX:
                both = f"`crop_px` is a height and a width, {list(crop_px)}"
                raise ValueError(f"{both}: `load_px` should be so too, not {load_px}")
            load_px = round(crop_px[0] * LOAD_PX / 256), round(crop_px[1] * LOAD_PX / 256)
        return cls(load_px, crop_px, flip, fit, scale_px, mask)

    @cached_property
    def crop(self) -> tuple[int, int]:
        """Height and width of a sample."""
        return _both(self.crop_px)

    @cached_property
    def load(self) -> tuple[int, int]:
        """Height and width before the crop; those of a sample where nothing else is said."""
        return _both(self.crop_px if self.load_px is None else self.load_px)

    def shapes(self, pictures: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """The shapes of pictures with so many channels each, and of their masks."""
        return {name: (channels, *self.crop) for name, channels in Layers.of(pictures, self).channels.items()}

    def dtypes(self, pictures: Iterable[str]) -> dict[str, torch.dtype]:
        """The types of the masks of these pictures, which are no pictures."""
        return {mask_of(name): torch.float32 for name in pictures} if self.mask else {}

    @property
    def one_size(self) -> bool:
        """Whether pictures have one size before the crop."""
        return self.fit != "none" or self.centred

    @property
    def whole(self) -> Framing:
        """Nothing cropped at random, nothing mirrored: for validation."""
        return Framing(self.crop_px, self.crop_px, False, self.fit, self.scale_px, self.mask, centred=True)

    def bring(self, picture: Tensor) -> Tensor:
        """`[C, H, W]` as it is before the crop: `[C, *load]`, or as large as it is; one channel more with a mask.

        Raises:
            ValueError: it is smaller than a sample.
        """
        match self.fit:
            case "squeeze":
                return images.resize(picture, *self.load)
            case "cover":
                return images.resize(images.centre_crop(picture, *self._covering(*picture.shape[1:])), *self.load)
            case "contain":
                return self._contained(picture)
        sized = images.resize(picture, *self.scaled(*picture.shape[1:])) if self.scale_px else picture
        if any(side < wanted for side, wanted in zip(sized.shape[1:], self.crop, strict=True)):
            raise ValueError(f"it is {_shown(tuple(sized.shape[1:]))} px, and a sample {_shown(self.crop)} px")
        return images.centre_crop(sized, *self.crop) if self.centred else sized

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """The size of a picture of this size before the crop."""
        if self.fit != "none":
            return self.load
        if self.scale_px is None:
            return height, width
        named = self.scale_px if isinstance(self.scale_px, dict) else {"shorter": self.scale_px}
        ((side, wanted),) = named.items()
        factor = wanted / (min(height, width) if side == "shorter" else max(height, width))
        return max(1, round(height * factor)), max(1, round(width * factor))

    def augment(self, picture: Tensor, rng: random.Random) -> Tensor:
        """`[C, H, W]`, as `bring` gives it, to `[C, *crop]`."""
        return self.cut(picture, self.draw(rng, *picture.shape[1:]))

    def cut(self, picture: Tensor, place: tuple[int, int, bool]) -> Tensor:
        """The crop at a place that `draw` gave, for pictures that are cropped alike."""
        top, left, mirrored = place
        height, width = self.crop
        crop = picture[:, top : top + height, left : left + width]
        return crop.flip(-1) if mirrored else crop

    def batch(self, held: Pictures, indices: Sequence[int], rngs: Sequence[random.Random]) -> Tensor:
        """`augment` of each of these pictures: `[N, C, *crop]`."""
        if isinstance(held, Tensor) and held.device.type != "cpu" and len(indices) > 1:
            return self.gather(held, indices, rngs)  # one alone is a view, quicker than sending places
        return default_collate([self.augment(held[index], rng) for index, rng in zip(indices, rngs, strict=True)])

    def gather(self, held: Tensor, indices: Sequence[int], rngs: Sequence[random.Random]) -> Tensor:
        """`batch` as one kernel: the host sends the places of rows and columns, and waits for nothing."""
        height, width = self.crop
        drawn = [(i, *self.draw(rng, *held.shape[2:])) for i, rng in zip(indices, rngs, strict=True)]
        numbers = [(i, top, left + width - 1 if flip else left, 1 - 2 * flip) for i, top, left, flip in drawn]
        picks, tops, starts, strides = torch.tensor(numbers).T[..., None]
        channels, down, across = held.shape[1], torch.arange(height), torch.arange(width)
        places = torch.cat((picks * channels + torch.arange(channels), tops + down, starts + strides * across), 1)
        planes, rows, columns = images.upload(places, held.device).split((channels, height, width), 1)
        deep = held.dtype == torch.uint16  # which devices do not index: as numbers of as many bits, they do
        flat = (held.view(torch.int16) if deep else held).flatten(0, 1)
        made = flat[planes[:, :, None, None], rows[:, None, :, None], columns[:, None, None, :]]
        return made.view(torch.uint16) if deep else made

    def draw(self, rng: random.Random, height: int, width: int) -> tuple[int, int, bool]:
        """Where a crop of a picture of this size is taken: top, left, and whether to mirror."""
        down, across = height - self.crop[0], width - self.crop[1]
        return rng.randint(0, down), rng.randint(0, across), self.flip and rng.random() < 0.5

    def _covering(self, height: int, width: int) -> tuple[int, int]:
        """The largest part of a picture with the proportions that are loaded."""
        factor = max(self.load[0] / height, self.load[1] / width)
        return min(height, round(self.load[0] / factor)), min(width, round(self.load[1] / factor))

    def _contained(self, picture: Tensor) -> Tensor:
        height, width = self.load
        factor = min(height / picture.shape[1], width / picture.shape[2])
        size = (
            min(height, max(1, round(picture.shape[1] * factor))),
            min(width, max(1, round(picture.shape[2] * factor))),
        )
        sized = images.resize(picture, *size)
        if self.mask:
            sized = torch.cat((sized, torch.full_like(sized[:1], WHITE.get(sized.dtype, 1))))
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        black = -1.0 if sized.is_floating_point() else 0
        filled = torch.full((len(sized), height, width), black, dtype=sized.dtype)
        filled[:, top : top + size[0], left : left + size[1]] = sized
        return filled


def _both(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _shown(size: int | tuple[int, ...] | None) -> str:
    return " x ".join(map(str, size)) if isinstance(size, tuple) else str(size)


@dataclass(frozen=True)
class Layers:
    """Which channels of a framed picture are which fields of a sample; pictures that belong together are framed as
    one."""

    channels: Mapping[str, int]
    """How many each field has, in their order."""

    @classmethod
    def of(cls, pictures: Mapping[str, int], framing: Framing) -> Layers:
        """Pictures with so many channels each, and a mask behind each where there are masks."""
        layers: dict[str, int] = {}
        for name, channels in pictures.items():
            layers[name] = channels
            if framing.mask:
                layers[mask_of(name)] = 1
        return cls(layers)

    def fields(self, framed: Tensor) -> Sample:
        """The fields of `[..., C, H, W]`: pictures as they are, masks as 0 and 1."""
        if len(self.channels) == 1:
            return dict.fromkeys(self.channels, framed)
        pieces = framed.split(list(self.channels.values()), -3)
        named = zip(self.channels, pieces, strict=True)
        return {name: (piece > 0).float() if is_mask(name) else piece for name, piece in named}


def mask_of(field: str) -> str:
    """The field that says where a picture is: `mask_a` of `real_a`."""
    return field.replace("real", "mask", 1)


def is_mask(field: str) -> bool:
    """Whether a field says where a picture is."""
    return field.startswith("mask")


class FramedDataset(Dataset):
    """What datasets of pictures have in common that are brought to a size."""

    framing: Framing

    @property
    def resizer(self) -> str:  # type: ignore[override]
        plain = all(storage.plain for storage in self.storage().values())
        return images.RESIZER if plain else images.RESIZER.replace("bytes", "floats")


class Framed(Samples):
    """Samples of pictures that are framed; of several kinds the longest says how many there are."""

    def __init__(self, framing: Framing, *held: Pictures) -> None:
        self.framing, self.held = framing, held
        self.in_workers = all(not isinstance(each, Tensor) or each.device.type == "cpu" for each in held)

    def __len__(self) -> int:
        return max(map(len, self.held))
