"""Pictures as tensors: reading, writing, finding, cutting and showing them.

A picture is uint8 `[C, H, W]` in 0..255 on the CPU, or uint16 in 0..65535; networks see it as float in `[-1, 1]`.
"""

from __future__ import annotations

import functools
import os
import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor

from ganforge.errors import BadFile, EnvironmentFault, UsageError
from ganforge.images.depths import Unfit, decode_wide, is_wide, refuse_unfit, tell_left_out
from ganforge.images.listing import SUFFIXES, list_images, natural_order

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "RESIZER",
    "SUFFIXES",
    "centre_square",
    "decode_image",
    "from_pillow",
    "heat_map",
    "label_grid",
    "list_images",
    "natural_order",
    "read_exact",
    "read_image",
    "resize",
    "to_float",
    "to_grey",
    "to_pillow",
    "to_uint8",
    "to_uint16",
    "upload",
    "write_image",
]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
RESIZER = "bicubic, antialiased, on bytes, by torchvision"
"""What `resize` does."""
MAX_PIXELS = 178_956_970  # where Pillow stops too; torchvision's decoder has no limit

_REPLACE = "replace the file, or take it out of its folder before a run begins; `data.on_bad_file=skip` does without it"
_FONT_PX, _GAP_PX, _READABLE_PX = 16, 8, 128


# Imported when a picture is touched: torchvision takes as long as torch itself, and most commands touch none.


@functools.cache
def _transforms() -> Any:
    from torchvision.transforms.v2 import functional  # type: ignore[import-untyped]

    return functional


@functools.cache
def _io() -> Any:
    """torchvision's decoders, deprecated since its version 0.29; without them Pillow decodes, a third slower."""
    from torchvision import io  # type: ignore[import-untyped]

    return io if hasattr(io, "decode_image") else None


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
        raise ValueError(_reason(error)) from error


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
        raise BadFile(f"cannot read the picture {path}: {_reason(error)}\n  {cure}") from error


def _reason(error: Exception) -> str:
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
        deep = _decode_deep(data, header, channels)
        if deep is not None:
            return deep if exact else to_uint8(deep)
        return _decode_with_pillow(header, channels)


def _decode_deep(data: bytes, header: Image.Image, channels: int) -> Tensor | None:
    """uint16 `[channels, H, W]` of a picture of 16 bits a channel; None for all others.

    Of colours and transparency, Pillow keeps 8 bits: without torchvision's decoder so do we.
    """
    if is_wide(header):
        return decode_wide(header).repeat(channels, 1, 1)
    io = _io()
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
    io = _io()
    if io is None or header.mode not in ("RGB", "L") or "transparency" in header.info:
        return None
    plain_webp = header.format == "WEBP" and channels == 3 and not _animated(header) and "exif" not in header.info
    if not plain_webp and header.format != "JPEG":
        return None
    mode = io.ImageReadMode.GRAY if channels == 1 else io.ImageReadMode.RGB
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        image: Tensor = io.decode_image(encoded, mode, apply_exif_orientation=True)
    except RuntimeError:  # Pillow reads some files that torchvision does not, and says better what is wrong
        return None
    return image


def _animated(header: Image.Image) -> bool:
    return bool(getattr(header, "is_animated", False))


def _decode_with_pillow(image: Image.Image, channels: int) -> Tensor:
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return _transforms().pil_to_tensor(image.convert("L" if channels == 1 else "RGB"))


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
        raise UsageError(f"this picture cannot be kept: {error}\n  {error.cure}") from error
    return _decode_with_pillow(image, channels)


def to_pillow(image: Tensor) -> Image.Image:
    """A picture `[C, H, W]`, C = 1 or 3, as Pillow's; it knows 16 bits of grey, of colours it gets 8."""
    if image.dtype == torch.uint16 and len(image) == 1:
        return Image.fromarray(image[0].contiguous().numpy())
    return _transforms().to_pil_image(to_uint8(image))


def write_image(path: Path, image: Tensor) -> None:
    """Write `[C, H, W]`, C = 1 or 3, in the format of the path's suffix; the file appears whole or not at all.

    uint8 in any format, uint16 as PNG.

    Raises:
        EnvironmentFault: the file cannot be written (no such folder, no space, an unknown suffix).
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        if image.dtype == torch.uint16:
            partial.write_bytes(_encode_deep(image, path.suffix))
        else:
            _transforms().to_pil_image(image).save(partial, quality=95)
        partial.replace(path)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"cannot write the picture {path}: {_reason(error)}") from error
    finally:
        partial.unlink(missing_ok=True)


def _encode_deep(image: Tensor, suffix: str) -> bytes:
    """A PNG of 16 bits a channel, which neither Pillow (of colours) nor torchvision writes.

    https://www.w3.org/TR/png-3/: rows of big-endian samples, each but for the row above it (filter 2), deflated.
    """
    if suffix.lower() != ".png":
        raise ValueError(f"16 bits a channel are written as .png only, not as {suffix}")
    channels, height, width = image.shape
    samples = image.permute(1, 2, 0).contiguous().numpy().astype(">u2")
    rows = torch.frombuffer(bytearray(samples.tobytes()), dtype=torch.uint8).view(height, -1)
    changes = rows - torch.cat((torch.zeros_like(rows[:1]), rows[:-1]))
    filtered = torch.cat((torch.full((height, 1), 2, dtype=torch.uint8), changes), 1)
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if channels == 1 else 2, 0, 0, 0)
    pixels = zlib.compress(filtered.numpy().tobytes(), level=4)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def to_float(image: Tensor) -> Tensor:
    """uint8 in 0..255, or uint16 in 0..65535, to float32 in `[-1, 1]`, of any shape."""
    return image.to(torch.float32).div_(32767.5 if image.dtype == torch.uint16 else 127.5).sub_(1)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device, without waiting for it: a GPU fetches pinned memory while the host goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_uint8(image: Tensor) -> Tensor:
    """Float in `[-1, 1]`, or uint16, to uint8 in 0..255, rounded; values outside are clamped. uint8 stays as it is."""
    if image.dtype == torch.uint8:
        return image
    if image.dtype == torch.uint16:
        return ((image.to(torch.int32) + 128) // 257).to(torch.uint8)
    return image.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def to_uint16(image: Tensor) -> Tensor:
    """Float in `[-1, 1]`, or uint8, to uint16 in 0..65535; otherwise as `to_uint8`."""
    if image.dtype == torch.uint16:
        return image
    if image.dtype == torch.uint8:
        return (image.to(torch.int32) * 257).to(torch.uint16)
    return image.float().add(1).mul_(32767.5).round_().clamp_(0, 65535).to(torch.int32).to(torch.uint16)


def to_grey(image: Tensor) -> Tensor:
    """RGB `[..., 3, H, W]` to luma `[..., 1, H, W]` (ITU-R BT.601)."""
    return _transforms().rgb_to_grayscale(image)


def resize(image: Tensor, height_px: int, width_px: int) -> Tensor:
    """uint8 or uint16 `[..., C, H, W]` resized with an antialiased bicubic filter, whatever its proportions were."""
    from torchvision.transforms.v2 import InterpolationMode

    deep = image.dtype == torch.uint16  # which torchvision's filter does not take
    resized = _transforms().resize(
        to_float(image) if deep else image, [height_px, width_px], InterpolationMode.BICUBIC, antialias=True
    )
    return to_uint16(resized) if deep else resized


def centre_square(image: Tensor) -> Tensor:
    """The largest centred square of `[..., H, W]`."""
    side = min(image.shape[-2:])
    return _transforms().center_crop(image, [side])


# From dark to bright as errors grow, and in order of brightness in print and to the colour-blind.
_HEAT = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))


def heat_map(values: Tensor) -> Tensor:
    """Values `[H, W]` from 0 (black) to 1 (pale yellow) as colours: uint8 `[3, H, W]`; larger ones are as 1."""
    colours = torch.tensor(_HEAT, dtype=torch.float32)
    place = values.float().clamp(0, 1) * (len(colours) - 1)
    below = place.long().clamp(max=len(colours) - 2)
    mixed = torch.lerp(colours[below], colours[below + 1], (place - below)[..., None])
    return mixed.round().to(torch.uint8).permute(2, 0, 1)


def label_grid(rows: Sequence[Sequence[Tensor]], labels: Sequence[str]) -> Tensor:
    """Pictures in rows and labelled columns on white: uint8 `[3, H, W]`.

    Cells are uint8 `[3, H, W]` or `[1, H, W]`, of any sizes. Where the largest is smaller than 128 px, all are
    enlarged by one whole number, without blurring. A column is as wide as its label needs.
    """
    largest_px = max(side for row in rows for cell in row for side in cell.shape[1:])
    scale = -(-_READABLE_PX // largest_px)
    cells = [[cell.repeat_interleave(scale, 1).repeat_interleave(scale, 2) for cell in row] for row in rows]
    # Large pictures are looked at from afar: their labels grow with them.
    font_px = max(_FONT_PX, largest_px * scale // 9)
    font = ImageFont.load_default(font_px)
    header = [_text(label, font, font_px) for label in labels]
    columns = list(zip(header, *cells, strict=True))
    widths = [max(cell.shape[2] for cell in column) for column in columns]
    heights = [max(cell.shape[1] for cell in row) for row in (header, *cells)]
    size_px = [sum(sides) + _GAP_PX * (len(sides) + 1) for sides in (heights, widths)]
    grid = torch.full((3, *size_px), 255, dtype=torch.uint8)
    left = _GAP_PX
    for width, column in zip(widths, columns, strict=True):
        top = _GAP_PX
        for height, cell in zip(heights, column, strict=True):
            inset = left + (width - cell.shape[2]) // 2
            grid[:, top : top + cell.shape[1], inset : inset + cell.shape[2]] = cell
            top += height + _GAP_PX
        left += width + _GAP_PX
    return grid


def _text(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, font_px: int) -> Tensor:
    """Black on white: uint8 `[1, H, W]`, as large as the text."""
    _, _, width, height = (int(side + 0.999) for side in font.getbbox(text or " ", anchor="la"))
    # Descenders or none, the labels of one row stand on one line.
    label = Image.new("L", (max(1, width), max(height, font_px + 4)), 255)
    ImageDraw.Draw(label).text((0, 0), text, font=font, fill=0, anchor="la")
    return _transforms().pil_to_tensor(label)
