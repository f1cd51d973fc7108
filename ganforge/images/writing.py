"""Writing pictures: as files, and as Pillow's images."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ganforge.errors import EnvironmentFault
from ganforge.images.late_torchvision import transforms
from ganforge.images.reading import reason
from ganforge.images.values import to_uint8


def to_pillow(image: Tensor) -> Image.Image:
    """A picture `[C, H, W]`, C = 1 or 3, as Pillow's; it knows 16 bits of grey, of colours it gets 8."""
    if image.dtype == torch.uint16 and len(image) == 1:
        return Image.fromarray(image[0].contiguous().numpy())
    return transforms().to_pil_image(to_uint8(image))


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
            transforms().to_pil_image(image).save(partial, quality=95)
        partial.replace(path)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"cannot write the picture {path}: {reason(error)}") from error
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
