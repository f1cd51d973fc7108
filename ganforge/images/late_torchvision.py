"""torchvision, imported when a picture is touched: it takes as long as torch itself, and most commands touch none."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def transforms() -> Any:
    """The module of torchvision that works on tensors as pictures."""
    from torchvision.transforms.v2 import functional  # type: ignore[import-untyped]

    return functional


@functools.cache
def decoders() -> Any:
    """torchvision's decoders, deprecated since its version 0.29; without them Pillow decodes, a third slower."""
    from torchvision import io  # type: ignore[import-untyped]

    return io if hasattr(io, "decode_image") else None
