"""What there is to know of one picture file."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from ganforge import images
from ganforge.images.depths import is_transparent, more_channels, more_frames, refuse_unfit

Pixels = npt.NDArray[np.uint8]

LUMA = np.array((0.299, 0.587, 0.114))  # ITU-R BT.601
THUMBNAIL_PX = 16
_TOO_LARGE = f"it has more than {images.MAX_PIXELS // 10**6} million pixels"
_FLAT = 4  # of 255
_ORIENTATION = 0x0112  # of EXIF
_BITS_PER_SAMPLE = 258  # of TIFF


@dataclass(slots=True)
class Picture:
    """A file, and what decoding it showed; with a `fault`, training cannot read it, and no more is known.

    Attributes:
        fault: why it cannot be read.
        damage: what is wrong with it though it can be read.
        sha256: of its bytes.
        pixels: of its pixels as training sees them: 8 bits, upright, RGB.
        width, height: as training sees it, in pixels.
        mode: Pillow's: RGB, L, P, RGBA, CMYK, I;16 and so on.
        bits: of a channel of the file.
        stored: whether a recipe says of which channels, depth and range it is.
        mean_rgb: the mean of each channel, in [0, 1].
        lowest, highest: of all values, in 0..255.
        thumbnail: luma, uint8 `[16, 16]`.
    """

    path: Path
    fault: str = ""
    damage: str = ""
    bytes: int = 0
    sha256: str = ""
    pixels: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    bits: int = 8
    stored: bool = False
    rotated: bool = False
    animated: bool = False
    more_channels: int = 0
    transparent: bool = False
    colourless: bool = False
    lowest: int = 0
    highest: int = 0
    mean_rgb: tuple[float, float, float] = (0.0, 0.0, 0.0)
    thumbnail: Pixels = field(default_factory=lambda: np.zeros((THUMBNAIL_PX, THUMBNAIL_PX), np.uint8), repr=False)

    @property
    def shorter_px(self) -> int:
        """The shorter side."""
        return min(self.width, self.height)

    @property
    def flat(self) -> bool:
        """Whether the picture is of one colour, or nearly."""
        return self.highest - self.lowest < _FLAT

    @property
    def proportion(self) -> float:
        """Width to height."""
        return self.width / max(1, self.height)

    @property
    def brightness(self) -> float:
        """The mean luma of the picture, in [0, 1]."""
        return float(LUMA @ self.mean_rgb)


def examine(path: Path, storage: images.Storage | None = None) -> Picture:
    """Read and decode a file whole, as it is stored; what is wrong with it stands in the picture's `fault` or
    `damage`."""
    picture = Picture(path)
    try:
        data = path.read_bytes()
        picture.bytes = len(data)
        picture.sha256 = hashlib.sha256(data).hexdigest()
        if not data:
            raise ValueError("the file is empty")
        if storage is not None and not (storage.plain and storage.channels in (1, 3)):
            _read_stored(picture, storage)
            return picture
        with Image.open(BytesIO(data), formats=images.FORMATS) as image:
            _read_header(picture, image, data)
            _read_pixels(picture, _decoded(picture, image))
            picture.transparent = is_transparent(image)
        if picture.format == "PNG":
            picture.damage = _damage_of_png(data)
    except UnidentifiedImageError:
        picture.fault = f"it is {_actual_format(data)}"
    except Exception as error:  # on a broken file, decoders raise whatever their parsing stumbles on
        picture.fault = _reason(error.__cause__ or error)  # read_image's own message repeats the path
    return picture


def _read_stored(picture: Picture, storage: images.Storage) -> None:
    """What there is to know of a picture of other channels, depths or ranges; brightness is that of what is shown."""
    picture.stored = True
    picture.format = picture.path.suffix.removeprefix(".").upper().replace("TIF", "TIFF").replace("TIFFF", "TIFF")
    picture.mode = f"{storage.channels} channel{'s' * (storage.channels != 1)}"
    picture.bits = 32 if storage.depth == "float" else storage.depth
    seen = storage.read(picture.path)
    _read_pixels(picture, np.ascontiguousarray(images.shown(seen).permute(1, 2, 0).numpy()))
    picture.pixels = hashlib.sha256(seen.numpy().tobytes()).hexdigest() + f" {picture.width}"


def _read_header(picture: Picture, image: Image.Image, data: bytes) -> None:
    picture.format = image.format or ""
    picture.width, picture.height = image.size
    picture.mode = image.mode
    picture.bits = _bits(image, data)
    picture.rotated = image.getexif().get(_ORIENTATION, 1) != 1
    picture.animated = more_frames(image) > 0
    picture.more_channels = more_channels(image)


def _bits(image: Image.Image, data: bytes) -> int:
    """The bits of a channel, or of a palette's colours. Pillow's mode hides the 16 bits of a PNG in colour."""
    if image.format == "PNG" and image.mode != "P":
        return data[24]
    if image.format == "TIFF" and image.mode != "P":
        return int(np.max(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8)))
    return {"1": 1, "I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)


def _decoded(picture: Picture, image: Image.Image) -> Pixels:
    """uint8 `[H, W, 3]`, as training sees it.

    Plain PNGs go through Pillow: on broken ones libpng, as torchvision 0.29 uses it, ends the process.
    """
    refuse_unfit(image)
    plain = image.mode in ("RGB", "L") and "transparency" not in image.info and picture.bits <= 8
    if image.format == "PNG" and plain:
        if image.width * image.height > images.MAX_PIXELS:
            raise ValueError(_TOO_LARGE)
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    return np.ascontiguousarray(images.read_image(picture.path).permute(1, 2, 0).numpy())


def _read_pixels(picture: Picture, pixels_HWC: Pixels) -> None:
    picture.height, picture.width = pixels_HWC.shape[:2]
    picture.pixels = hashlib.sha256(pixels_HWC.data).hexdigest() + f" {picture.width}"
    image = Image.fromarray(pixels_HWC)
    counts = np.array(image.histogram()).reshape(3, 256)
    red, green, blue = (counts @ np.arange(256) / counts[0].sum() / 255).tolist()
    picture.mean_rgb = (red, green, blue)
    present = np.flatnonzero(counts.sum(0))
    picture.lowest, picture.highest = int(present[0]), int(present[-1])
    # Where the histograms agree, which is quick to see, the pixels nearly always do.
    picture.colourless = bool((counts[1:] == counts[0]).all() and (pixels_HWC == pixels_HWC[..., :1]).all())
    small = image.convert("L").resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BOX)
    picture.thumbnail = np.asarray(small)


def _damage_of_png(data: bytes) -> str:
    """What the checksums of a PNG that decodes say against it."""
    try:
        with Image.open(BytesIO(data), formats=("PNG",)) as image:
            image.verify()
    except Exception as error:
        return str(error)
    return ""


def _reason(error: BaseException) -> str:
    match error:
        case OSError(strerror=str(reason)):
            return reason
        case struct.error():
            return "the file is truncated"
        case Image.DecompressionBombError():
            return _TOO_LARGE
        case _:
            return str(error) or type(error).__name__


def _actual_format(data: bytes) -> str:
    try:
        with Image.open(BytesIO(data)) as image:
            return f"a picture in the format {image.format}, which training does not read"
    except Exception:
        return "no picture"
