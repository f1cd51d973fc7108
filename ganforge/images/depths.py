"""Which values of a picture file are kept: 8 and 16 bits a channel. All others are refused; none is clipped."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import torch
from PIL import Image, ImageOps
from torch import Tensor

WHITE = 65535
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLES_PER_PIXEL, _SAMPLE_FORMAT = 258, 262, 277, 339  # tags of TIFF
_SIGNED = 2
UNKNOWN_RANGE = (
    "store it as 8 or 16 bits a channel, or say in the recipe which value is black and which is white, such as\n"
    "  `range: [0, 1]` (of domain A `range_a`); `data.on_bad_file=skip` leaves such files out of a training"
)
WRONG_CHANNELS = "say `channels: {}` in the recipe (of domain A `channels_a`), or put files with others away"
_told: set[str] = set()


class Unfit(ValueError):
    """A picture with values that cannot be kept; `cure` says what to do."""

    def __init__(self, message: str, cure: str = UNKNOWN_RANGE) -> None:
        super().__init__(message)
        self.cure = cure


def is_wide(image: Image.Image) -> bool:
    """Whether a picture is grey with more than 8 bits, in whole numbers."""
    return image.mode.startswith("I")


def refuse_unfit(image: Image.Image) -> None:
    """Refuse what Pillow would clip, wrap around or convert wrongly.

    Raises:
        Unfit: it holds floats, or whole numbers below 0.
    """
    if image.mode == "F":
        low, high = image.getextrema()
        raise Unfit(f"it holds floating-point numbers, from {low:.6g} to {high:.6g}")
    refuse_lab(image)
    if is_signed(image) and any(image.histogram()[128:]):
        raise Unfit("it holds whole numbers below 0 (signed, of 8 bits)")


def refuse_lab(image: Image.Image) -> None:
    """Refuse colours that nothing here converts.

    Raises:
        Unfit: it is in CIELAB.
    """
    if image.mode == "LAB":
        raise Unfit("it is in the colours of CIELAB, which are not converted", "store it as RGB")


def is_signed(image: Image.Image) -> bool:
    """Whether a TIFF has signed numbers of 8 bits, which Pillow takes for others."""
    return image.mode == "L" and _SIGNED in _tag(image, _SAMPLE_FORMAT)


def decode_floats(image: Image.Image) -> Tensor:
    """float32 `[1, H, W]` of a grey picture of floats, upright."""
    upright = ImageOps.exif_transpose(image)
    return torch.frombuffer(bytearray(upright.tobytes()), dtype=torch.float32).view(1, upright.height, upright.width)


def decode_wide(image: Image.Image, as_it_is: bool = False) -> Tensor:
    """uint16 `[1, H, W]` of a grey picture of more than 8 bits, upright; 12 bits are scaled to 16.

    With `as_it_is`, no value is scaled or refused; beyond 16 bits they are int32.

    Raises:
        Unfit: there are values below 0 or above 65535; or it has 32 bits and none is above 255.
    """
    bits, inverted = bits_of(image), 0 in _tag(image, _PHOTOMETRIC)
    upright = ImageOps.exif_transpose(image).convert("I")
    wide = torch.frombuffer(bytearray(upright.tobytes()), dtype=torch.int32).view(1, upright.height, upright.width)
    low, high = int(wide.min()), int(wide.max())
    if as_it_is:
        fits = low >= 0 and high <= WHITE
        white = 2**bits - 1 if bits < 32 else high
        wide = white - wide if inverted else wide
        return wide.to(torch.uint16) if fits else wide
    if low < 0 or high > WHITE:
        raise Unfit(f"it holds whole numbers from {low} to {high}, and 16 bits are 0 to {WHITE}")
    if bits == 32 and 0 < high <= 255:
        raise Unfit(f"it holds numbers of 32 bits from {low} to {high}: as 16 bits they would be black")
    if 8 < bits < 16:
        wide = (wide * WHITE + (2**bits - 1) // 2) // (2**bits - 1)
    return (WHITE - wide if inverted else wide).to(torch.uint16)


def tell_left_out(image: Image.Image, name: str, channels: int) -> None:
    """Say what of a picture is not read, the first time that there is such a thing: frames, channels, transparency."""
    for text, measure in _LEFT_OUT.items():
        if measure is is_transparent and channels in (2, 4):
            continue
        if text not in _told and _speaks() and (count := measure(image)):
            _tell(text, f"{name} {text.format(count)}")


def tell_rounded(name: str, cure: str = "`depth: 16` in a recipe (of domain A `depth_a`) keeps all") -> None:
    """Say that more bits than 8 are not kept, the first time."""
    if (text := "16 bits") not in _told and _speaks():
        _tell(text, f"{name} has 16 bits a channel, of which 8 are kept: {cure}")


def _tell(text: str, said: str) -> None:
    _told.add(text)
    warnings.warn(f"{said} (said of the first such file; `ganforge data inspect` finds all)", stacklevel=3)


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel is transparent; many files have an alpha channel that says nothing."""
    return image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255  # type: ignore[operator]


def more_frames(image: Image.Image) -> int:
    """How many pictures a file holds behind the first. In a JPEG, they are its previews and depths, and not counted."""
    return 0 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1) - 1


def more_channels(image: Image.Image) -> int:
    """How many channels a TIFF has beside those that Pillow reads."""
    samples = _tag(image, _SAMPLES_PER_PIXEL)
    return max(0, samples[0] - len(image.getbands())) if samples else 0


_LEFT_OUT: dict[str, Callable[[Image.Image], int]] = {
    "has {} more frames or pages than the first, which are not read": more_frames,
    "has {} more channels than colours, which are not read": more_channels,
    "has transparent pixels, which are put on white": is_transparent,
}


def _speaks() -> bool:
    """Whether this process warns: of many that read, one is enough."""
    worker = torch.utils.data.get_worker_info()
    return os.environ.get("RANK", "0") == "0" and (worker is None or worker.id == 0)


def bits_of(image: Image.Image) -> int:
    """The bits that a channel of a TIFF has; of other files, those of a grey picture of more than 8."""
    if image.format == "TIFF":
        return int(max(_tag(image, _BITS_PER_SAMPLE), default=16))
    return 32 if image.mode == "I" and image.format is None else 16


def _tag(image: Image.Image, number: int) -> tuple[int, ...]:
    """A tag's values; none where it is no TIFF, or lacks the tag."""
    value = getattr(image, "tag_v2", {}).get(number, ())
    return value if isinstance(value, tuple) else (value,)
