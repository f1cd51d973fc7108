"""What files say of their pictures before any pixel is decoded: so that all that do not fit are told at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganforge.images import scientific
from ganforge.images.channels import MODES
from ganforge.images.depths import UNKNOWN_RANGE, WRONG_CHANNELS, Unfit, bits_of, is_wide
from ganforge.images.reading import FORMATS, reason
from ganforge.images.storage import Storage

FLOATS, WIDE = "floating-point numbers", "whole numbers below 0, or of more than 16 bits"
_ORIENTATION, _ON_ITS_SIDE = 274, (5, 6, 7, 8)


@dataclass(frozen=True)
class Header:
    """A picture as its file announces it: upright, with the channels that are read."""

    height: int
    width: int
    channels: int
    numbers: str = ""
    """What its values are, where they are no whole numbers of 8 or 16 bits: `floating-point numbers`."""


def read_header(path: Path, channels: int) -> Header:
    """What a file says of its picture, of which so many channels are wanted.

    Raises:
        Unfit: an extra is missing.
        OSError, ValueError: it cannot be read.
    """
    if (found := scientific.header(path, channels)) is not None:
        has, height, width, dtype = found
        return Header(height, width, has, _named(dtype))
    try:
        with Image.open(path, formats=FORMATS) as image:
            bands = len(image.getbands()) if image.mode != "P" else 3
            beyond = image.format == "TIFF" and channels not in (1, 3) and image.mode != MODES.get(channels)
            if not beyond:
                sideways = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
                height, width = (image.width, image.height) if sideways else (image.height, image.width)
                wide = image.format == "TIFF" and not is_wide(image) and bits_of(image) > 16
                numbers = FLOATS if image.mode == "F" else WIDE if wide else ""
                return Header(height, width, bands, numbers)
    except UnidentifiedImageError:
        if not scientific.is_tiff(path):
            raise
    has, height, width, dtype = scientific.tiff_header(path)
    return Header(height, width, has, _named(dtype))


def look(path: Path, storage: Storage) -> Header | tuple[str, str]:
    """What a file says of its picture; or why it does not fit, as far as that tells, and the cure."""
    try:
        header = read_header(path, storage.channels)
    except Unfit as error:
        return str(error), error.cure
    except Exception as error:  # on a broken file, parsers raise whatever they stumble on
        return reason(error), "replace it, or take it out"
    has, wanted = header.channels, storage.channels
    if has != wanted and {has, wanted} - MODES.keys():
        return f"it has {has} channels, and {wanted} are asked for", WRONG_CHANNELS.format(has)
    if header.numbers and storage.range is None:
        return f"it holds {header.numbers}", UNKNOWN_RANGE
    return header


def _named(dtype: np.dtype) -> str:
    if dtype in (np.uint8, np.uint16, np.bool_):
        return ""
    return FLOATS if dtype.kind == "f" else WIDE
