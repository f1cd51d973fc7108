"""Reading pictures from files and from bytes."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ganforge.errors import BadFile, UsageError
from ganforge.images.depths import Unfit, decode_wide, is_wide, refuse_unfit, tell_left_out
from ganforge.images.late_torchvision import decoders, transforms
from ganforge.images.values import to_grey, to_uint8

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 178_956_970  # where Pillow stops too; torchvision's decoder has no limit

_REPLACE = "replace the file, or take it out of its folder before a run begins; `data.on_bad_file=skip` does without it"


def read_image(path: Path, channels: int = 3) -> Tensor:
    """The picture of a file: uint8 `[channels, H, W]`, `channels` 1 (grey) or 3 (RGB).

    JPEG, PNG, WebP, BMP, TIFF and GIF of any colour mode; of an animation the first frame. The EXIF orientation is
    applied, transparent pixels are put on white, 16 bits are rounded to 8. What is left out (other frames, other
    channels, transparency) is told once, with the first such file.

    Raises:
        BadFile: the file is missing, empty, broken, truncated, no picture, or larger than `MAX_PIXELS`; or it has
            values that neither 8 nor 16 bits hold: floats, numbers below 0 or above 65535.
    """
    return _read(path, channels, exact=False)


def decode_image(data: bytes, channels: int = 3) -> Tensor:
    """The picture of a file's bytes, as `read_image`.

    Raises:
        ValueError: what is wrong with them.
    """
    try:
        return _decode(data, channels, exact=False)
    except Exception as error:
        raise ValueError(reason(error)) from error


def read_exact(path: Path, channels: int = 3) -> Tensor:
    """The same, but uint16 where the file has 16 bits a channel: PNG, and grey TIFF.

    Raises:
        BadFile: as `read_image`.
    """
    return _read(path, channels, exact=True)


def _read(path: Path, channels: int, exact: bool) -> Tensor:
    try:
        return _decode(path.read_bytes(), channels, exact, str(path))
    except Exception as error:  # on a broken file, decoders raise whatever their parsing stumbles on
        cure = error.cure if isinstance(error, Unfit) else _REPLACE
        raise BadFile(f"cannot read the picture {path}: {reason(error)}", cure) from error


def reason(error: Exception) -> str:
    """Why a file could not be read or written, in words."""
    match error:
        case UnidentifiedImageError():
            return f"it is not a picture of a known format ({', '.join(FORMATS)})"
        case OSError(strerror=str(reason)):
            return reason
        case _:
            return str(error) or type(error).__name__


def _decode(data: bytes, channels: int, exact: bool, name: str = "a picture") -> Tensor:
    if not data:
        raise ValueError("the file is empty")
    try:
        opened = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if data.startswith((b"II*\0", b"MM\0*")):
            raise Unfit("it is a TIFF of a kind that is not read, such as floats in colour, or of 64 bits") from None
        raise
    with opened as header:
        if header.width * header.height > MAX_PIXELS:
            raise ValueError(f"{header.width}x{header.height} is more than {MAX_PIXELS // 10**6} million pixels")
        if (fast := _decode_fast(data, header, channels)) is not None:
            return fast
        refuse_unfit(header)
        tell_left_out(header, name)
        if (deep := _decode_deep(data, header, channels)) is not None:
            return deep if exact else to_uint8(deep)
        return _decode_with_pillow(header, channels)


def _decode_deep(data: bytes, header: Image.Image, channels: int) -> Tensor | None:
    """uint16 `[channels, H, W]` of a picture of 16 bits a channel; None for all others.

    Of colours and transparency, Pillow keeps 8 bits: without torchvision's decoder so do we.
    """
    if is_wide(header):
        return decode_wide(header).repeat(channels, 1, 1)
    io = decoders()
    deep = header.format == "PNG" and data[24] == 16  # IHDR's bit depth
    if io is None or not deep or "transparency" in header.info or header.info.get("interlace"):
        return None
    _check_png(data, header)
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    image: Tensor = io.decode_image(encoded, io.ImageReadMode.UNCHANGED, apply_exif_orientation=True).float()
    if len(image) in (2, 4):
        image, alpha = image[:-1], image[-1:] / 65535
        image = image * alpha + 65535 * (1 - alpha)
    if len(image) == 3 and channels == 1:
        image = to_grey(image)
    return image.round().to(torch.int32).to(torch.uint16).expand(channels, -1, -1).contiguous()


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
    if io is None or header.mode not in ("RGB", "L") or "transparency" in header.info:
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
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return transforms().pil_to_tensor(image.convert("L" if channels == 1 else "RGB"))


def from_pillow(image: Image.Image, channels: int = 3) -> Tensor:
    """Pillow's picture as uint8 `[channels, H, W]`, or uint16 where it is one of 16 bits (mode `I;16`).

    Raises:
        UsageError: it has values that neither 8 nor 16 bits hold.
    """
    try:
        refuse_unfit(image)
        tell_left_out(image, getattr(image, "filename", "") or "the picture")
        if is_wide(image):
            return decode_wide(image).repeat(channels, 1, 1)
    except Unfit as error:
        raise UsageError(f"this picture cannot be kept: {error}", error.cure) from error
    return _decode_with_pillow(image, channels)
