"""Files that Pillow does not read: numpy's arrays, TIFF of any channels and numbers, and DICOM."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganforge.images.depths import WRONG_CHANNELS, Unfit
from ganforge.images.values import WHITE

MOST_BYTES = 4 * 2**30
"""What a compressed file may become."""
_NPY, _ZIP, _DICOM, _TIFF = b"\x93NUMPY", b"PK\x03\x04", b"DICM", (b"II*\0", b"MM\0*")
_DICOM_AT = 128

Shape = tuple[int, int, int, np.dtype]
"""Channels, height, width, and numpy's type of the values."""


def decode(data: bytes, channels: int) -> Tensor | None:
    """The numbers of a file, `[C, H, W]`, of a type that torch has; None where it is of another format.

    Raises:
        Unfit: the extra that reads it is not installed.
        ValueError: it is broken, or no picture.
    """
    if data.startswith(_NPY):
        return _oriented(np.load(BytesIO(data), allow_pickle=False), channels)
    if data.startswith(_ZIP):
        return _oriented(_only_array(data), channels)
    if data[_DICOM_AT : _DICOM_AT + len(_DICOM)] == _DICOM:
        return _decode_dicom(data)
    return None


def decode_tiff(data: bytes, channels: int) -> Tensor:
    """The numbers of a TIFF, upright, of which so many channels are wanted: its samples, or pages, are channels.

    Raises:
        Unfit: it needs an extra that is not installed.
        ValueError: it is broken, or no picture.
    """
    tifffile = _extra("tifffile", "tiff", "a TIFF of such numbers or channels")
    with tifffile.TiffFile(BytesIO(data)) as file:
        series = file.series[0]
        if series.size * series.dtype.itemsize > MOST_BYTES:
            raise ValueError(f"{' x '.join(map(str, series.shape))} are more than {MOST_BYTES // 2**30} GiB")
        try:
            array = series.asarray()
        except ValueError as error:
            if "imagecodecs" in str(error):
                raise Unfit(f"it is compressed: {error}", "pip install imagecodecs, or store it deflated") from error
            raise
        numbers = _numbers(_channels_first(array, series.axes))
        page = file.pages[0]
        _refuse_meant_otherwise(page, len(numbers), channels)
        if page.photometric == 0 and numbers.dtype in WHITE:  # white is zero
            numbers = (WHITE[numbers.dtype] - numbers.to(torch.int32)).to(numbers.dtype)
        return _upright(numbers, _orientation(page))


def _refuse_meant_otherwise(page: Any, has: int, channels: int) -> None:
    """Refuse channels that would be taken for others: inks, CIELAB, and bands for transparency.

    Raises:
        Unfit: they are.
    """
    kinds = {5: "the inks of CMYK", 8: "the colours of CIELAB"}
    if page.photometric in kinds and channels in (1, 3):
        raise Unfit(f"it is in {kinds[page.photometric]}, which are not converted", "store it as RGB")
    transparent = any(extra in (1, 2) for extra in page.extrasamples or ())
    if has in (2, 4) and channels in (1, 3) and not transparent:
        raise Unfit(f"it has {has} channels, and {channels} are asked for", WRONG_CHANNELS.format(has))


def _orientation(page: Any) -> int:
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None else 1


def _upright(numbers: Tensor, orientation: int) -> Tensor:
    """`[C, H, W]` turned and mirrored as TIFF 6.0 counts orientations."""
    if orientation >= 5:
        numbers = numbers.transpose(1, 2)
    across, down = orientation in (2, 3, 7, 6), orientation in (3, 4, 7, 8)
    flips = [dim for dim, flip in ((1, down), (2, across)) if flip]
    return numbers.flip(flips).contiguous() if flips else numbers.contiguous()


def header(path: Path, channels: int) -> Shape | None:
    """What `decode` would give, by the first bytes; None where it is of another format.

    Raises:
        Unfit: the extra that reads it is not installed.
        ValueError: it is broken, or no picture.
    """
    with path.open("rb") as file:
        start = file.read(_DICOM_AT + len(_DICOM))
        file.seek(0)
        if start.startswith(_NPY):
            return _of_array(*_array_header(file), channels)
        if start.startswith(_ZIP):
            with zipfile.ZipFile(file) as arrays, arrays.open(_only(arrays.namelist())) as array:
                return _of_array(*_array_header(array), channels)
        if start[_DICOM_AT:] == _DICOM:
            return _dicom_header(file)
    return None


def is_tiff(path: Path) -> bool:
    """Whether a file begins as a TIFF."""
    with path.open("rb") as file:
        return file.read(4) in _TIFF


def _array_header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the type of an array, of which nothing more is read."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _of_array(shape: tuple[int, ...], dtype: np.dtype, channels: int) -> Shape:
    axes = _axes(shape, channels)
    has, height, width = (1 if axis is None else shape[axis] for axis in axes)
    return has, height, width, dtype


def tiff_header(path: Path) -> Shape:
    """What `decode_tiff` would give, by the file's tags.

    Raises:
        Unfit: it needs an extra that is not installed.
        ValueError: it is broken, or no picture.
    """
    tifffile = _extra("tifffile", "tiff", "a TIFF of such numbers or channels")
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        sizes = dict(zip(series.axes, series.shape, strict=True))
        if not {"Y", "X"} <= sizes.keys():
            raise ValueError(f"its axes are {series.axes}, and a picture has Y and X")
        turned = _orientation(file.pages[0]) >= 5
        height, width = (sizes["X"], sizes["Y"]) if turned else (sizes["Y"], sizes["X"])
        return series.size // (height * width), height, width, np.dtype(series.dtype)


def reads_tiff() -> bool:
    """Whether the extra is installed that reads TIFF of any kind."""
    return importlib.util.find_spec("tifffile") is not None


def encode_tiff(picture: Tensor) -> bytes:
    """A TIFF of uint8, uint16 or float32 `[C, H, W]`, deflated; channels are samples of each pixel.

    Raises:
        Unfit: the extra is not installed.
    """
    tifffile = _extra("tifffile", "tiff", "a TIFF of such numbers or channels")
    channels = len(picture)
    colours = channels in (3, 4) and picture.dtype != torch.float32
    more = channels - 3 if colours else channels - 1  # than the photometric interpretation has
    written = BytesIO()
    tifffile.imwrite(
        written,
        _channels_last(picture),
        photometric="rgb" if colours else "minisblack",
        planarconfig=None if channels == 1 else "contig",
        extrasamples=["unassalpha" if colours else "unspecified"] * more or None,
        compression="zlib",
    )
    return written.getvalue()


def encode_npy(picture: Tensor) -> bytes:
    """numpy's file of `[H, W]`, or `[H, W, C]` where there are several channels."""
    written = BytesIO()
    np.save(written, _channels_last(picture))
    return written.getvalue()


def _channels_last(picture: Tensor) -> np.ndarray:
    array: np.ndarray = picture.permute(1, 2, 0).contiguous().numpy()
    return array[:, :, 0] if len(picture) == 1 else array


def _only_array(data: bytes) -> np.ndarray:
    try:
        sizes = [entry.file_size for entry in zipfile.ZipFile(BytesIO(data)).infolist()]
        if sum(sizes) > MOST_BYTES:
            raise ValueError(f"it holds more than {MOST_BYTES // 2**30} GiB")
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            array: np.ndarray = arrays[_only(list(arrays))]
            return array
    except zipfile.BadZipFile as error:
        raise ValueError(f"the file is damaged: {error}") from error


def _only(names: Sequence[str]) -> str:
    """The name of the one array that a file holds.

    Raises:
        ValueError: it holds several, or none.
    """
    if len(names) != 1:
        raise ValueError(f"it holds {len(names)} arrays ({', '.join(names[:5])}), and a picture is one")
    return names[0]


def _oriented(array: np.ndarray, channels: int) -> Tensor:
    first, *_ = _axes(array.shape, channels)
    return _numbers(array[None] if first is None else np.moveaxis(array, first, 0))


def _axes(shape: tuple[int, ...], channels: int) -> tuple[int | None, int, int]:
    """Which axes of an array `[H, W]`, `[H, W, C]` or `[C, H, W]`, of which so many channels are wanted, are channels,
    height and width; where both could be, the channels are last.

    Raises:
        ValueError: it is none of these.
    """
    match shape:
        case (_, _):
            return None, 0, 1
        case (first, _, last) if last != channels and first in (channels, *range(1, 5)):
            return 0, 1, 2
        case (_, _, _):
            return 2, 0, 1
    raise ValueError(f"it is an array of {list(shape)}, and a picture is [H, W], [H, W, C] or [C, H, W]")


def _channels_first(array: np.ndarray, axes: str) -> np.ndarray:
    """`[C, H, W]` of a series with tifffile's axes: Y and X, and whatever else it has as channels."""
    if "Y" not in axes or "X" not in axes:
        raise ValueError(f"its axes are {axes}, and a picture has Y and X")
    others = [place for place, axis in enumerate(axes) if axis not in "YX"]
    array = array.transpose([*others, axes.index("Y"), axes.index("X")])
    return array.reshape(-1, *array.shape[-2:])


def _dicom_header(file: Any) -> Shape:
    pydicom = _extra("pydicom", "medical", "a DICOM file")
    told = pydicom.dcmread(file, stop_before_pixels=True)
    channels = int(told.get("SamplesPerPixel", 1))
    channels = channels if channels > 1 else int(told.get("NumberOfFrames", 1))
    whole = np.uint8 if told.BitsAllocated <= 8 else np.uint16
    kept = not told.PixelRepresentation and _rescaling(told) == (1, 0)
    return channels, int(told.Rows), int(told.Columns), np.dtype(whole if kept else np.float64)


def _rescaling(file: Any) -> tuple[float, float]:
    return float(file.get("RescaleSlope", 1)), float(file.get("RescaleIntercept", 0))


def _decode_dicom(data: bytes) -> Tensor:
    """The values that a DICOM file stands for: rescaled as it says, frames as channels, black below white."""
    pydicom = _extra("pydicom", "medical", "a DICOM file")
    file = pydicom.dcmread(BytesIO(data))
    array = file.pixel_array
    if file.get("SamplesPerPixel", 1) > 1:
        return _numbers(array.transpose(2, 0, 1))
    if file.get("PhotometricInterpretation") == "MONOCHROME1":  # white is the lowest
        array = (-1 if file.PixelRepresentation else 2**file.BitsStored - 1) - array.astype(np.int64)
        array = array if file.PixelRepresentation else array.astype(np.uint16 if file.BitsStored > 8 else np.uint8)
    slope, intercept = _rescaling(file)
    if (slope, intercept) != (1, 0):
        array = np.asarray(array, np.float64) * slope + intercept
    return _numbers(array.reshape(-1, *array.shape[-2:]))


def _numbers(array: np.ndarray) -> Tensor:
    """An array as a tensor: whole numbers of 8 and 16 bits as they are, all others as float64 or float32."""
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype.kind not in "uif":
        raise ValueError(f"it holds {array.dtype}, and pictures are numbers")
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        array = array.astype(np.float64)
    return torch.from_numpy(array)


def _extra(module: str, extra: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unfit(
            f"{what} is read with {module}, which is not installed", f"pip install 'ganforge[{extra}]'"
        ) from error
