"""Reading pictures from files and from bytes."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Literal

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ganforge.errors import BadFile, UsageError
from ganforge.images import scientific
from ganforge.images.channels import MODES, with_channels
from ganforge.images.depths import (
    WRONG_CHANNELS,
    Unfit,
    bits_of,
    decode_floats,
    decode_wide,
    is_signed,
    is_wide,
    refuse_lab,
    refuse_unfit,
    tell_left_out,
    tell_rounded,
)
from ganforge.images.late_torchvision import decoders, transforms
from ganforge.images.values import to_uint8

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
Keep = Literal["bytes", "deep", "numbers"]
"""What is kept of values: 8 bits; 16 where the file has as many; all of them, as they are."""
MAX_PIXELS = 178_956_970  # where Pillow stops too; torchvision's decoder has no limit

_PLAIN_PNG = "saved without, all bits are kept"
_REPLACE = "replace the file, or take it out of its folder before a run begins; `data.on_bad_file=skip` does without it"


def read_image(path: Path, channels: int = 3) -> Tensor:
    """The picture of a file: uint8 `[channels, H, W]`.

    JPEG, PNG, WebP, BMP, TIFF and GIF of any colour mode; of an animation the first frame. The EXIF orientation is
    applied, 16 bits are rounded to 8. One channel is grey, three are RGB; two and four are the same with transparency,
    which otherwise is put on white. Files of other numbers of channels are read by `ganforge.images.Storage`.
    What is left out (other frames, other channels, transparency, bits) is told once, with the first such file.

    Raises:
        BadFile: the file is missing, empty, broken, truncated, no picture, or larger than `MAX_PIXELS`; or it has
            values that neither 8 nor 16 bits hold: floats, numbers below 0 or above 65535; or other channels.
    """
    return read_with(path, channels, "bytes")


def decode_image(data: bytes, channels: int = 3) -> Tensor:
    """The picture of a file's bytes, as `read_image`.

    Raises:
        ValueError: what is wrong with them.
    """
    return decode_with(data, channels, "bytes")


def read_exact(path: Path, channels: int = 3) -> Tensor:
    """The same, but uint16 where the file has 16 bits a channel: PNG, and TIFF.

    Raises:
        BadFile: as `read_image`.
    """
    return read_with(path, channels, "deep")


def read_with(path: Path, channels: int, keep: Keep) -> Tensor:
    """The picture of a file, and what is kept of its values.

    Raises:
        BadFile: as `read_image`.
    """
    try:
        return _decode(path.read_bytes(), channels, keep, str(path))
    except Exception as error:  # on a broken file, decoders raise whatever their parsing stumbles on
        cure = error.cure if isinstance(error, Unfit) else _REPLACE
        raise BadFile(f"cannot read the picture {path}: {reason(error)}", cure) from error


def decode_with(data: bytes, channels: int, keep: Keep) -> Tensor:
    """The picture of a file's bytes, and what is kept of its values.

    Raises:
        ValueError: what is wrong with them.
    """
    try:
        return _decode(data, channels, keep)
    except Exception as error:
        raise ValueError(reason(error)) from error


def reason(error: Exception) -> str:
    """Why a file could not be read or written, in words."""
    match error:
        case UnidentifiedImageError():
            return f"it is not a picture of a known format ({', '.join(FORMATS)})"
        case OSError(strerror=str(reason)):
            return reason
        case _:
            return str(error) or type(error).__name__


def _decode(data: bytes, channels: int, keep: Keep, name: str = "a picture") -> Tensor:
    if not data:
        raise ValueError("the file is empty")
    if (numbers := scientific.decode(data, channels)) is not None:
        return _kept(with_channels(numbers, channels), keep, name)
    try:
        opened = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if data.startswith((b"II*\0", b"MM\0*")):
            return _kept(with_channels(scientific.decode_tiff(data, channels), channels), keep, name)
        raise
    with opened as header:
        if header.width * header.height > MAX_PIXELS:
            raise ValueError(f"{header.width}x{header.height} is more than {MAX_PIXELS // 10**6} million pixels")
        if (fast := _decode_fast(data, header, channels)) is not None:
            return fast
        if header.format == "TIFF" and _beyond_pillow(header, channels, keep, name):
            return _kept(with_channels(scientific.decode_tiff(data, channels), channels), keep, name)
        if keep == "numbers" and header.mode == "F":
            return with_channels(decode_floats(header), channels)
        (refuse_lab if keep == "numbers" else refuse_unfit)(header)
        tell_left_out(header, name, channels)
        if (deep := _decode_deep(data, header, channels, keep)) is not None:
            return _kept(deep, keep, name)
        if header.format == "PNG" and data[24] == 16 and keep != "bytes":
            if keep == "numbers":
                raise Unfit("it is a PNG of 16 bits that is interlaced, or has one transparent colour", _PLAIN_PNG)
            tell_rounded(name, _PLAIN_PNG)
        return _decode_with_pillow(header, channels)


def _beyond_pillow(header: Image.Image, channels: int, keep: Keep, name: str) -> bool:
    """Whether a TIFF has channels that Pillow does not read, or more bits of colours than it keeps."""
    if keep == "numbers" and (is_signed(header) or (bits_of(header) > 16 and header.mode != "F")):
        return True
    if channels not in (1, 3):
        return header.mode != MODES.get(channels) or bits_of(header) > 8
    deep = keep != "bytes" and bits_of(header) > 8 and not is_wide(header) and header.mode != "F"
    if deep and not scientific.reads_tiff():
        tell_rounded(name, "`pip install 'ganforge[tiff]'` keeps all")
        return False
    return deep


def _kept(numbers: Tensor, keep: Keep, name: str) -> Tensor:
    """Of numbers of any type, what is asked for.

    Raises:
        Unfit: they are no whole numbers of 8 or 16 bits, and not all numbers are taken.
    """
    if keep == "numbers" or numbers.dtype == torch.uint8:
        return numbers
    if numbers.dtype != torch.uint16:
        low, high = numbers.aminmax()
        kind = "floating-point numbers" if numbers.is_floating_point() else "whole numbers"
        raise Unfit(f"it holds {kind}, from {low:.6g} to {high:.6g}")
    if keep == "bytes":
        tell_rounded(name)
        return to_uint8(numbers)
    return numbers


def _decode_deep(data: bytes, header: Image.Image, channels: int, keep: Keep) -> Tensor | None:
    """`[channels, H, W]` of a picture of more than 8 bits a channel; None for all others.

    Of colours and transparency, Pillow keeps 8 bits: without torchvision's decoder so do we.
    """
    if is_wide(header):
        return with_channels(decode_wide(header, as_it_is=keep == "numbers"), channels)
    io = decoders()
    deep = header.format == "PNG" and data[24] == 16  # IHDR's bit depth
    if io is None or not deep or "transparency" in header.info or header.info.get("interlace"):
        return None
    _check_png(data, header)
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    image: Tensor = io.decode_image(encoded, io.ImageReadMode.UNCHANGED, apply_exif_orientation=True)
    return with_channels(image, channels)


def _check_png(data: bytes, header: Image.Image) -> None:
    """Refuse a damaged PNG before torchvision sees it, which would end the whole process (signal 11, in 0.29)."""
    position, rows = 8, []
    while position + 12 <= len(data):
        (length,), kind = struct.unpack(">I", data[position : position + 4]), data[position + 4 : position + 8]
        content = data[position + 8 : position + 8 + length]
        if data[position + 8 + length : position + 12 + length] != struct.pack(">I", zlib.crc32(kind + content)):
            raise ValueError("the file is damaged: a checksum of the PNG is wrong")
        if kind == b"IDAT":
            rows.append(content)
        position += 12 + length
    samples = {0: 1, 2: 3, 4: 2, 6: 4}[data[25]]  # by IHDR's colour type
    expected = header.height * (1 + 2 * samples * header.width)
    found = zlib.decompressobj().decompress(b"".join(rows), expected + 1)
    if len(found) != expected or max(found[:: expected // header.height]) > 4:  # each row begins with its filter
        raise ValueError("the file is damaged: rows of the PNG are missing")


def _decode_fast(data: bytes, header: Image.Image, channels: int) -> Tensor | None:
    """torchvision's decoding of the plain cases, where it agrees with Pillow's; None for all others.

    PNG is none of them: on a damaged one torchvision ends the whole process (signal 11, in 0.29).
    """
    io = decoders()
    if io is None or channels not in (1, 3) or header.mode not in ("RGB", "L") or "transparency" in header.info:
        return None
    plain = header.format == "WEBP" and not getattr(header, "is_animated", False) and "exif" not in header.info
    if not (plain and channels == 3) and header.format != "JPEG":
        return None
    mode = io.ImageReadMode.GRAY if channels == 1 else io.ImageReadMode.RGB
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        return io.decode_image(encoded, mode, apply_exif_orientation=True)
    except RuntimeError:  # Pillow reads some files that torchvision does not, and says better what is wrong
        return None


def _decode_with_pillow(image: Image.Image, channels: int) -> Tensor:
    image = ImageOps.exif_transpose(image)
    if channels not in MODES:
        bands = len(image.getbands())
        raise Unfit(f"it has {bands} channels, and {channels} are asked for", WRONG_CHANNELS.format(bands))
    if image.has_transparency_data and channels in (1, 3):
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    if channels == 2 and image.mode not in ("LA", "L"):  # Pillow makes no grey with transparency of colours with it
        return with_channels(transforms().pil_to_tensor(image.convert("RGBA")), 2)
    return transforms().pil_to_tensor(image.convert(MODES[channels]))


def from_pillow(image: Image.Image, channels: int = 3) -> Tensor:
    """Pillow's picture as uint8 `[channels, H, W]`, or uint16 where it is one of 16 bits (mode `I;16`).

    Raises:
        UsageError: it has values that neither 8 nor 16 bits hold.
    """
    try:
        refuse_unfit(image)
        tell_left_out(image, getattr(image, "filename", "") or "the picture", channels)
        if is_wide(image):
            return with_channels(decode_wide(image), channels)
        return _decode_with_pillow(image, channels)
    except Unfit as error:
        raise UsageError(f"this picture cannot be kept: {error}", error.cure) from error
