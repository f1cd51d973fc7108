"""Values that pictures cannot keep are refused by name, never clipped; what is left out of a file is told."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge import BadFile, UsageError, images
from ganforge.images import depths

RAMP = np.arange(12).reshape(3, 4)


def tiff(path: Path, bits: int | list[int], kind: int, data: bytes, white: bool = True, samples: int = 1) -> Path:
    """A plain TIFF of 4 x 3 pixels; kind is 1 unsigned, 2 signed, 3 floats."""
    many = bits if isinstance(bits, list) else [bits] * samples
    photometric = 2 if samples >= 3 else int(white)
    tags: list[tuple[int, int, list[int]]] = [
        (256, 3, [4]), (257, 3, [3]), (258, 3, many), (259, 3, [1]), (262, 3, [photometric]), (273, 4, [0]),
        (277, 3, [samples]), (278, 3, [3]), (279, 4, [len(data)]), (339, 3, [kind] * samples),
    ]  # fmt: skip
    if samples > 3:
        tags.insert(9, (338, 3, [0] * (samples - 3)))
    start, more = 10 + 12 * len(tags) + 4, b""
    entries = []
    for tag, type_, values in tags:
        raw = struct.pack(f"<{len(values)}{'H' if type_ == 3 else 'I'}", *values)
        if len(raw) > 4:
            raw, more = struct.pack("<I", start + len(more)), more + raw
        entries.append((tag, type_, len(values), raw.ljust(4, b"\0")))
    place = struct.pack("<I", start + len(more))
    body = b"".join(struct.pack("<HHI", t, k, n) + (place if t == 273 else raw) for t, k, n, raw in entries)
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + body + b"\0\0\0\0" + more + data)
    return path


REFUSED: dict[str, tuple[int, int, np.ndarray, str]] = {
    "float32 of 0 to 1": (32, 3, (RAMP / 11).astype(np.float32), "floating-point numbers, from 0 to 1"),
    "float32 of 0 to 255": (32, 3, (RAMP * 20).astype(np.float32), "floating-point numbers, from 0 to 220"),
    "NaN": (32, 3, np.full((3, 4), np.nan, np.float32), "floating-point numbers, from nan"),
    "float16": (16, 3, (RAMP / 11).astype(np.float16), "floating-point numbers, from 0 to 1"),
    "float64": (64, 3, (RAMP / 11).astype(np.float64), "floating-point numbers, from 0 to 1"),
    "signed 8": (8, 2, (RAMP - 3).astype(np.int8), "whole numbers below 0"),
    "signed 16": (16, 2, (RAMP * 999 - 3).astype(np.int16), "whole numbers from -3 to 10986"),
    "signed 32": (32, 2, (RAMP - 3).astype(np.int32), "whole numbers from -3 to 8"),
    "large 32": (32, 1, (RAMP * 10**5).astype(np.uint32), "whole numbers from 0 to 1100000"),
    "huge 32": (32, 1, (RAMP * 3 * 10**8).astype(np.uint32), "whole numbers from -"),
    "bytes in 32": (32, 1, (RAMP * 20).astype(np.uint32), "as 16 bits they would be black"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("read", [images.read_image, images.read_exact])
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, name: str, read: Callable) -> None:
    bits, kind, values, message = REFUSED[name]
    path = tiff(tmp_path / "scan.tif", bits, kind, values.tobytes())
    with pytest.raises(BadFile, match=f"scan.tif: it (is|holds) .*{message.split(' ', 1)[1]}.*\n  .*8 or 16 bits"):
        read(path)


def test_floats_in_colour_and_cielab_are_refused(tmp_path: Path) -> None:
    colours = np.repeat(RAMP[..., None], 3, 2).astype(np.float32)
    with pytest.raises(BadFile, match="floating-point numbers, from 0 to 11"):
        images.read_image(tiff(tmp_path / "c.tif", 32, 3, colours.tobytes(), samples=3))
    Image.new("LAB", (4, 3)).save(tmp_path / "lab.tif")
    with pytest.raises(BadFile, match=r"CIELAB.*\n  store it as RGB"):
        images.read_image(tmp_path / "lab.tif")


def test_values_that_fit_are_kept(tmp_path: Path) -> None:
    deep = (RAMP * 5000).astype(np.uint16)
    as_written = torch.from_numpy(deep.astype(np.int32))
    for path in (
        tiff(tmp_path / "16.tif", 16, 1, deep.tobytes()),
        tiff(tmp_path / "32.tif", 32, 1, deep.astype(np.uint32).tobytes()),
        tiff(tmp_path / "inverted.tif", 16, 1, (65535 - deep).astype(np.uint16).tobytes(), white=False),
    ):
        assert torch.equal(images.read_exact(path, 1)[0].to(torch.int32), as_written), path.name


def test_twelve_bits_are_scaled_to_sixteen(tmp_path: Path) -> None:
    values = [0, 372, 2048, 4095] * 3
    packed = b"".join(
        bytes((one >> 4, (one & 15) << 4 | other >> 8, other & 255))
        for one, other in zip(values[::2], values[1::2], strict=True)
    )
    path = tiff(tmp_path / "12.tif", 12, 1, packed)
    assert images.read_exact(path, 1).flatten().tolist()[:4] == [round(v * 65535 / 4095) for v in values[:4]]
    assert images.read_image(path, 1).flatten().tolist()[:4] == [0, 23, 128, 255]


def test_sixteen_bits_of_colour_are_rounded_for_training_too(tmp_path: Path) -> None:
    deep = torch.arange(36).mul(1800).view(3, 3, 4).to(torch.int32).to(torch.uint16)
    images.write_image(tmp_path / "x.png", deep)
    assert torch.equal(images.read_image(tmp_path / "x.png"), images.to_uint8(deep))


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depths, "_told", set())
    monkeypatch.delenv("RANK", raising=False)


@pytest.mark.usefixtures("untold")
def test_what_is_left_out_of_files_is_told_once(tmp_path: Path) -> None:
    plain = Image.new("RGB", (4, 3))
    plain.save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (4, 3), "red")])
    plain.save(tmp_path / "pages.tif", save_all=True, append_images=[plain, plain])
    Image.new("RGBA", (4, 3), (0, 0, 0, 99)).save(tmp_path / "clear.png")
    Image.new("RGBA", (4, 3), (0, 0, 0, 255)).save(tmp_path / "opaque.png")
    four = np.repeat(RAMP[..., None], 4, 2).astype(np.uint8)
    tiff(tmp_path / "infrared.tif", 8, 1, four.tobytes(), samples=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("opaque.png", "pages.tif", "a.gif", "clear.png", "clear.png", "infrared.tif"):
            images.read_image(tmp_path / name)
    told = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert ["pages.tif has 2 more frames" in told[0], "clear.png has transparent" in told[1]] == [True, True]
    assert "infrared.tif has 1 more channels" in told[2]
    assert len(told) == 3


def test_pillow_pictures_are_held_to_the_same() -> None:
    for picture in (Image.new("F", (2, 2), 0.5), Image.new("I", (2, 2), -4), Image.new("I", (2, 2), 70000)):
        with pytest.raises(UsageError, match="this picture cannot be kept: it holds"):
            images.from_pillow(picture)


@pytest.fixture
def with_a_float(make_pictures: Callable[..., None], tmp_path: Path) -> Path:
    for folder in ("trainA", "trainB"):
        make_pictures(f"data/{folder}", ["1.png", "2.png"])
    tiff(tmp_path / "data/trainA/3.tif", 32, 3, (RAMP / 11).astype(np.float32).tobytes())
    return tmp_path / "data"


def test_a_float_tiff_is_refused_in_a_run_and_told_by_inspect(
    with_a_float: Path, in_tmp: Path, repository: Path, ganforge: Callable
) -> None:
    recipe = repository / "recipes/tiny/cyclegan_horse2zebra.yaml"
    options = (f"data.root={with_a_float}", "data.download=null", "data.batch_size=1", "run.steps=3")
    done = ganforge("run", recipe, *options)
    assert done.code == 3
    assert "trainA/3.tif: it holds floating-point numbers\n" in done.err
    told = ganforge("data", "inspect", with_a_float).out
    assert "trainA/3.tif (it holds floating-point numbers, from 0 to 1" in told


@pytest.mark.parametrize("values", [(0.0, 255.0), (-2.1, 2.6), (0.0, float("nan"))])
def test_tensors_beyond_white_and_black_are_refused(values: tuple[float, float]) -> None:
    from ganforge.inference.translate.picture_types import opened

    tensor = torch.tensor(values).repeat(3, 4, 2)
    with pytest.raises(UsageError, match=r"this picture has floats from .*black is -1, white 1"):
        opened(tensor, images.Storage())
    assert opened(tensor.nan_to_num().clamp(-1, 1), images.Storage())[0].shape == (1, 3, 4, 4)
