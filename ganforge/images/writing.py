"""Writing pictures: as files, and as Pillow's images."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ganforge.errors import EnvironmentFault
from ganforge.images import scientific
from ganforge.images.channels import MODES
from ganforge.images.depths import Unfit
from ganforge.images.late_torchvision import transforms
from ganforge.images.reading import reason
from ganforge.images.values import WHITE, to_uint8

_TIFF = (".tif", ".tiff")
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by the number of channels


def to_pillow(image: Tensor) -> Image.Image:
    """A picture `[C, H, W]`, C from 1 to 4, as Pillow's; it knows 16 bits and floats of grey, of colours it gets 8."""
    if image.dtype in (torch.uint16, torch.float32) and len(image) == 1:
        return Image.fromarray(image[0].contiguous().numpy())
    return transforms().to_pil_image(to_uint8(image))


def suffix_for(channels: int, dtype: torch.dtype) -> str:
    """The format that keeps all of such pictures: `.png`, or else `.tiff`."""
    return ".png" if channels in MODES and dtype in WHITE else ".tiff"


def unwritable(suffix: str, channels: int, dtype: torch.dtype) -> str | None:
    """Why a format cannot keep pictures of these channels and values, in words; None if it can."""
    suffix = suffix.lower()
    if suffix in (*_TIFF, ".npy"):
        return None
    if channels not in (1, 3, *((2, 4) if suffix == ".png" else (4,) if suffix == ".webp" else ())):
        return f"{suffix} does not keep {channels} channels"
    if dtype not in WHITE:
        return f"{suffix} does not keep floats"
    return f"{suffix} does not keep 16 bits" if dtype == torch.uint16 and suffix != ".png" else None


def write_image(path: Path, image: Tensor) -> None:
    """Write `[C, H, W]` in the format of the path's suffix; the file appears whole or not at all.

    uint8 and uint16 of 1 to 4 channels as PNG; those, float32 and any number of channels as TIFF, or numpy's `.npy`;
    uint8 of 1 or 3 channels in all others.

    Raises:
        EnvironmentFault: the file cannot be written (no such folder, no space, an unknown suffix, or one that does not
            keep such pictures; the extra is not installed).
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        if reason_why := unwritable(path.suffix, len(image), image.dtype):
            raise Unfit(reason_why, f"write {suffix_for(len(image), image.dtype)}")
        if (encoded := _encode(image, path.suffix.lower())) is None:
            transforms().to_pil_image(image).save(partial, quality=95)
        else:
            partial.write_bytes(encoded)
        partial.replace(path)
    except (OSError, ValueError) as error:
        cure = error.cure if isinstance(error, Unfit) else ""
        raise EnvironmentFault(f"cannot write the picture {path}: {reason(error)}", cure) from error
    finally:
        partial.unlink(missing_ok=True)


def _encode(image: Tensor, suffix: str) -> bytes | None:
    """What Pillow does not write; None for all that it does."""
    if suffix == ".npy":
        return scientific.encode_npy(image)
    if suffix in _TIFF and (len(image) not in (1, 3) or (image.dtype != torch.uint8 and len(image) > 1)):
        return scientific.encode_tiff(image)
    if suffix in _TIFF and image.dtype != torch.uint8:
        written = io.BytesIO()
        to_pillow(image).save(written, "TIFF", compression="tiff_deflate")
        return written.getvalue()
    return _encode_deep(image) if image.dtype == torch.uint16 else None


def _encode_deep(image: Tensor) -> bytes:
    """A PNG of 16 bits a channel, which neither Pillow (of colours) nor torchvision writes.

    https://www.w3.org/TR/png-3/: rows of big-endian samples, each but for the row above it (filter 2), deflated.
    """
    channels, height, width = image.shape
    samples = image.permute(1, 2, 0).contiguous().numpy().astype(">u2")
    rows = torch.frombuffer(bytearray(samples.tobytes()), dtype=torch.uint8).view(height, -1)
    changes = rows - torch.cat((torch.zeros_like(rows[:1]), rows[:-1]))
    filtered = torch.cat((torch.full((height, 1), 2, dtype=torch.uint8), changes), 1)
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    pixels = zlib.compress(filtered.numpy().tobytes(), level=4)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
