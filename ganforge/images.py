"""Pictures as tensors: reading, writing, finding, cutting and showing them.

A picture is uint8 `[C, H, W]` in 0..255 on the CPU; networks see it as float in `[-1, 1]`.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor

from ganforge.errors import EnvironmentFault

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"))
MAX_PIXELS = 178_956_970  # where Pillow stops too; torchvision's decoder has no limit

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
    applied, transparent pixels are put on white, 16 bits are rounded to 8.

    Raises:
        EnvironmentFault: the file is missing, empty, broken, truncated, no picture, or larger than `MAX_PIXELS`.
    """
    try:
        return _decode(path.read_bytes(), channels)
    except Exception as error:  # on a broken file, decoders raise whatever their parsing stumbles on
        raise EnvironmentFault(
            f"cannot read the picture {path}: {_reason(error)}\n  replace the file, or take it out of its folder"
        ) from error


def _reason(error: Exception) -> str:
    match error:
        case UnidentifiedImageError():
            return f"it is not a picture of a known format ({', '.join(FORMATS)})"
        case OSError(strerror=str(reason)):
            return reason
        case _:
            return str(error) or type(error).__name__


def _decode(data: bytes, channels: int) -> Tensor:
    if not data:
        raise ValueError("the file is empty")
    with Image.open(BytesIO(data), formats=FORMATS) as header:
        if header.width * header.height > MAX_PIXELS:
            raise ValueError(f"{header.width}x{header.height} is more than {MAX_PIXELS // 10**6} million pixels")
        fast = _decode_fast(data, header, channels)
        return _decode_with_pillow(header, channels) if fast is None else fast


def _decode_fast(data: bytes, header: Image.Image, channels: int) -> Tensor | None:
    """torchvision's decoding of the plain cases, where it agrees with Pillow's; None for all others."""
    io = _io()
    if io is None or header.mode not in ("RGB", "L") or "transparency" in header.info:
        return None
    plain_webp = header.format == "WEBP" and channels == 3 and not _animated(header) and "exif" not in header.info
    if not plain_webp and header.format not in ("JPEG", "PNG"):
        return None
    mode = io.ImageReadMode.GRAY if channels == 1 else io.ImageReadMode.RGB
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        image: Tensor = io.decode_image(encoded, mode, apply_exif_orientation=True)
    except RuntimeError:  # Pillow reads some files that torchvision does not, and says better what is wrong
        return None
    return image if image.dtype == torch.uint8 else None  # a 16-bit PNG


def _animated(header: Image.Image) -> bool:
    return bool(getattr(header, "is_animated", False))


def _decode_with_pillow(image: Image.Image, channels: int) -> Tensor:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion clips instead of scaling
        wide = torch.frombuffer(bytearray(image.convert("I").tobytes()), dtype=torch.int32)
        grey = (wide.clamp(0, 65535) + 128) // 257
        return grey.to(torch.uint8).view(1, image.height, image.width).repeat(channels, 1, 1)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return _transforms().pil_to_tensor(image.convert("L" if channels == 1 else "RGB"))


def write_image(path: Path, image: Tensor) -> None:
    """Write uint8 `[C, H, W]`, C = 1 or 3, in the format of the path's suffix; the file appears whole or not at all.

    Raises:
        EnvironmentFault: the file cannot be written (no such folder, no space, an unknown suffix).
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        _transforms().to_pil_image(image).save(partial, quality=95)
        partial.replace(path)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"cannot write the picture {path}: {_reason(error)}") from error
    finally:
        partial.unlink(missing_ok=True)


def list_images(folder: Path) -> list[Path]:
    """The picture files below a folder, known by their suffix, `2.jpg` before `10.jpg`; hidden ones are left out."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return sorted((path for path in found if path.suffix.lower() in SUFFIXES), key=natural_order)


def natural_order(path: Path) -> tuple[list[str | int], str]:
    """A key to sort paths by: `2.jpg` before `10.jpg`."""
    text = path.as_posix()
    pieces = re.split(r"(\d+)", text)  # words and numbers take turns, so that only like is compared with like
    return [int(piece) if piece.isdecimal() else piece for piece in pieces], text


def to_float(image: Tensor) -> Tensor:
    """uint8 in 0..255 to float32 in `[-1, 1]`, of any shape."""
    return image.to(torch.float32).div_(127.5).sub_(1)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device, without waiting for it: a GPU fetches pinned memory while the host goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_uint8(image: Tensor) -> Tensor:
    """Float in `[-1, 1]` to uint8 in 0..255, rounded; values outside are clamped. What is uint8 already stays."""
    if image.dtype == torch.uint8:
        return image
    return image.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def to_grey(image: Tensor) -> Tensor:
    """RGB `[..., 3, H, W]` to luma `[..., 1, H, W]` (ITU-R BT.601)."""
    return _transforms().rgb_to_grayscale(image)


def resize(image: Tensor, height_px: int, width_px: int) -> Tensor:
    """uint8 `[..., C, H, W]` resized with an antialiased bicubic filter, whatever its proportions were."""
    from torchvision.transforms.v2 import InterpolationMode

    return _transforms().resize(image, [height_px, width_px], InterpolationMode.BICUBIC, antialias=True)


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
