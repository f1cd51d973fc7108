"""What a caller has for a picture: a file, Pillow's, numpy's or torch's; each gets back what it gave."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ganforge import images
from ganforge.errors import UsageError
from ganforge.images.writing import unwritable

Box = tuple[int, int, int, int]
"""Top, left, height and width, in pixels."""
TAKEN = (
    "a path, a Pillow image, a numpy array [H, W, C] or [H, W] of uint8 or uint16, or a tensor [C, H, W] or "
    "[N, C, H, W] of uint8, uint16 or floats in [-1, 1]"
)


def opened(
    image: Any, taken: images.Storage, given: images.Storage | None = None
) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """Pictures `[N, channels, H, W]`, and what makes of such a result the kind of thing that was given.

    Args:
        image: what a caller has for a picture.
        taken: how such pictures are stored.
        given: how results are stored; by default as they are.

    Raises:
        UsageError: it is no picture, or has values that a picture cannot have.
        EnvironmentFault: it is a path, and the file cannot be read.
    """
    sides: Any = image.size if isinstance(image, Image.Image) else getattr(image, "shape", ())
    if 0 in sides:
        raise UsageError("this picture has no pixels", f"give {TAKEN}")
    channels, given = taken.channels, given or images.Storage(taken.channels)
    if not (taken.plain and given.plain) and isinstance(image, str | os.PathLike | Image.Image | np.ndarray):
        return _as_stored(image, taken, given)
    match image:
        case str() | os.PathLike():
            return images.read_exact(Path(image), channels)[None], lambda made: images.to_pillow(made[0])
        case Image.Image():
            return images.from_pillow(image, channels)[None], lambda made: images.to_pillow(made[0])
        case np.ndarray() if image.ndim in (2, 3) and image.dtype in (np.uint8, np.uint16):
            tensor = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image))).permute(2, 0, 1)
            flat = image.ndim == 2
            return _with_channels(tensor[None], channels), lambda made: _to_numpy(made[0], flat)
        case Tensor() if image.ndim in (3, 4) and (image.is_floating_point() or image.dtype in _WHOLE):
            batch, device = image.reshape(-1, *image.shape[-3:]), image.device
            _refuse_beyond(batch)
            many = image.ndim == 4
            return _with_channels(batch.cpu(), channels), lambda made: (made if many else made[0]).to(device)
    described = f"{type(image).__name__} {_shape(image)}".strip()
    raise UsageError(f"this is no picture: {described}", f"give {TAKEN}")


def _as_stored(image: Any, taken: images.Storage, given: images.Storage) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """Where files have channels, depths or ranges of their own, numbers are taken as files have them."""
    flat = False
    if isinstance(image, str | os.PathLike):
        seen, limits = taken.read_with_limits(Path(image))
    else:
        array = np.asarray(_plain(image) if isinstance(image, Image.Image) else image)
        if array.ndim not in (2, 3) or array.dtype.kind not in "uif":
            raise UsageError(f"this is no picture: {type(image).__name__} {_shape(array)}", f"give {TAKEN}")
        flat = array.ndim == 2
        whole = array.dtype in (np.uint8, np.uint16)
        tensor = torch.from_numpy(np.array(np.atleast_3d(array), array.dtype if whole else np.float64))
        try:
            numbers = images.with_channels(tensor.permute(2, 0, 1), taken.channels)
            limits = taken.limits(numbers) if taken.by_file else None
            seen = taken.seen(numbers, limits)
        except ValueError as error:
            raise UsageError(f"this picture cannot be translated: {error}", getattr(error, "cure", "")) from error

    def returned(made: Tensor) -> Any:
        stored = given.stored(made[0], limits)
        if isinstance(image, np.ndarray) or unwritable(".png", len(stored), stored.dtype):
            return _to_numpy(stored, flat or len(stored) == 1)
        return images.to_pillow(stored)

    return seen[None], returned


def _plain(image: Image.Image) -> Image.Image:
    """Pillow's picture upright, palettes and inks as colours."""
    upright = ImageOps.exif_transpose(image)
    return upright if upright.mode in ("L", "LA", "RGB", "RGBA", "I", "I;16", "F") else upright.convert("RGB")


def _refuse_beyond(batch: Tensor) -> None:
    """Raise for floats beyond white and black, which would be cut off."""
    if batch.is_floating_point() and batch.numel():
        low, high = (float(end) for end in batch.aminmax())
        if not (low >= -1 - _ROUNDING and high <= 1 + _ROUNDING):
            raise UsageError(
                f"this picture has floats from {low:.4g} to {high:.4g}, and black is -1, white 1",
                "give uint8, or x / 127.5 - 1 of bytes; scale what has another range, and clamp what is beyond",
            )


_ROUNDING = 0.01  # of few bits
_WHOLE = (torch.uint8, torch.uint16)


def _shape(image: Any) -> str:
    return f"{getattr(image, 'dtype', '')} {list(image.shape)}" if hasattr(image, "shape") else ""


def _with_channels(batch: Tensor, channels: int) -> Tensor:
    """`[N, 1 or 3, H, W]` as grey or as RGB."""
    given = batch.shape[1]
    if given == channels:
        return batch
    if {given, channels} != {1, 3}:
        raise UsageError(f"this picture has {given} channels, and the networks take {channels}", f"give {TAKEN}")
    if channels == 3:
        return batch.repeat(1, 3, 1, 1)
    if batch.dtype == torch.uint16:
        return images.to_uint16(images.to_grey(images.to_float(batch)))
    return images.to_grey(batch)


def _to_numpy(picture: Tensor, flat: bool) -> Any:
    array = picture.permute(1, 2, 0).contiguous().numpy()
    return array[:, :, 0] if flat and array.shape[2] == 1 else array


def cut(pictures: Tensor, box: Box) -> Tensor:
    """A part of `[..., H, W]`."""
    top, left, height, width = box
    return pictures[..., top : top + height, left : left + width]
