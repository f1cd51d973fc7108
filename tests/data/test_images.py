import io
import random
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from PIL import Image

from ganforge import EnvironmentFault, images
from ganforge.images import reading

# Each Pillow mode with the formats that can hold it.
MODES = {
    "1": ("PNG", "TIFF", "BMP", "GIF"),
    "L": ("PNG", "TIFF", "BMP", "GIF", "JPEG", "WEBP"),
    "P": ("PNG", "TIFF", "BMP", "GIF"),
    "RGB": ("PNG", "TIFF", "BMP", "GIF", "JPEG", "WEBP"),
    "RGBA": ("PNG", "TIFF", "GIF", "WEBP"),
    "LA": ("PNG", "TIFF"),
    "CMYK": ("TIFF", "JPEG"),
    "YCbCr": ("TIFF", "JPEG"),
    "I;16": ("PNG", "TIFF"),
    "I": ("TIFF",),
}
SAVED_AS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
MEAN_ERROR = {"JPEG": 2, "GIF": 6, "WEBP": 2}  # of 255; GIF has 256 colours at most


def picture(width: int = 23, height: int = 17) -> Image.Image:
    """Smooth, so that JPEG changes little, and different in every channel and direction."""
    across, down = (
        Image.linear_gradient("L").resize((width, height)),
        Image.radial_gradient("L").resize((width, height)),
    )
    return Image.merge("RGB", (across.rotate(90), across, down))


def as_tensor(image: Image.Image) -> torch.Tensor:
    """uint8 `[C, H, W]` by the plainest means."""
    flat = torch.tensor(list(image.tobytes()), dtype=torch.uint8)
    return flat.view(image.height, image.width, -1).permute(2, 0, 1)


def in_mode(mode: str) -> Image.Image:
    if mode == "I;16":
        grey = as_tensor(picture().convert("L"))[0]
        return Image.frombytes("I;16", (23, 17), b"".join(struct.pack("<H", 257 * v) for v in grey.flatten().tolist()))
    if mode == "I":
        return in_mode("I;16").convert("I")
    if mode == "LA":
        return picture().convert("L").convert(mode)
    return picture().convert(mode)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("mode", "format"), [(mode, format) for mode in MODES for format in MODES[mode]])
def test_every_mode_of_every_format_becomes_what_is_asked(
    tmp_path: Path, mode: str, format: str, channels: int
) -> None:
    path = tmp_path / "picture"  # the header tells the format, not the name
    source = in_mode(mode)
    source.save(path, format, **SAVED_AS.get(format, {}))
    got = images.read_image(path, channels)
    wanted = "L" if channels == 1 else "RGB"
    shown = picture().convert("L") if mode in ("I;16", "I") else source
    expected = as_tensor(shown.convert("RGB").convert(wanted))
    assert got.dtype == torch.uint8
    assert got.shape == (channels, 17, 23)
    error = (got.int() - expected.int()).abs().float()
    assert error.mean() <= MEAN_ERROR.get(format, 0.5)  # colour becomes grey by slightly different formulas


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_is_put_on_white(tmp_path: Path, format: str, channels: int) -> None:
    path = tmp_path / "picture"
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    image.save(path, format, **({"lossless": True} if format == "WEBP" else {}))
    assert images.read_image(path, channels)[0, 0].tolist() == [0, 255, 127]


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_transparent_colour_is_put_on_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture.png"
    Image.new(mode, (2, 2)).save(path, transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert images.read_image(path).eq(255).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path: Path, format: str, orientation: int) -> None:
    corner = Image.new("RGB", (32, 16))
    corner.paste((255, 255, 255), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "picture"
    corner.save(path, format, exif=exif)
    got = images.read_image(path)[0].float()
    # EXIF 2.32, tag 274: where the stored picture's first row and first column are shown.
    height, width = (16, 32) if orientation < 5 else (32, 16)
    bottom, right = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    assert got.shape == (height, width)
    white = got[-6:, :] if bottom else got[:6, :]
    white = white[:, -6:] if right else white[:, :6]
    assert white.min() > 240
    assert got.mean() < 50


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(tmp_path: Path, format: str) -> None:
    path = tmp_path / "picture"
    first, second = Image.new("RGB", (9, 7), (250, 0, 0)), Image.new("RGB", (9, 7), (0, 0, 250))
    first.save(path, format, save_all=True, append_images=[second])
    red, _, blue = images.read_image(path).float().mean((1, 2))
    assert red > 240
    assert blue < 10


def test_16_bits_are_rounded_not_clipped(tmp_path: Path) -> None:
    values = [0, 128, 129, 256, 257, 32768, 65406, 65407, 65535]
    path = tmp_path / "picture.png"
    Image.frombytes("I;16", (9, 1), struct.pack("<9H", *values)).save(path)
    assert images.read_image(path, 1).flatten().tolist() == [round(v / 257) for v in values]


def png(width: int, height: int, depth: int = 8, pixels: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def test_a_16_bit_colour_png_is_read(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png(1, 1, 16, b"\0" + struct.pack(">3H", 65535, 257 * 100, 0)))
    assert images.read_image(path).flatten().tolist() == [255, 100, 0]


@pytest.mark.parametrize("side", [14_000, 40_000])  # Pillow's own check stops the second one
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    with pytest.raises(
        EnvironmentFault, match=rf"cannot read the picture .*bomb.png: .*{side}|bomb.png: .*exceeds limit"
    ):
        images.read_image(path)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_both_decoders_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, mode: str) -> None:
    path = tmp_path / "picture"
    Image.effect_noise((40, 30), 90).convert(mode).save(path, format)
    fast = images.read_image(path)
    monkeypatch.setattr(reading, "decoders", lambda: None)
    assert torch.equal(images.read_image(path), fast)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_truncated_file_is_named(tmp_path: Path, format: str) -> None:
    path = tmp_path / "half.bin"
    Image.effect_noise((64, 64), 90).convert("RGB").save(path, format)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(EnvironmentFault, match=r"half\.bin: .+\n  replace the file"):
        images.read_image(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the file is empty"), (b"hello", "it is not a picture of a known format"), (None, "No such file")],
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "picture.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EnvironmentFault, match=rf"picture\.jpg: {reason}"):
        images.read_image(path)


def test_float_and_back_is_exact() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(images.to_uint8(images.to_float(every)), every)
    assert images.to_uint8(every) is every
    expected = torch.arange(256, dtype=torch.float64) / 255 * 2 - 1
    torch.testing.assert_close(images.to_float(every).double(), expected, rtol=0, atol=1e-7)


def test_to_uint8_rounds_and_clamps() -> None:
    grey = torch.tensor([-9.0, -1.0, 0.0, 0.499 / 127.5, 0.501 / 127.5, 1.0, 9.0])
    assert images.to_uint8(grey).tolist() == [0, 0, 128, 128, 128, 255, 255]
    assert images.to_uint8(torch.tensor([1.4 / 127.5 - 1, 1.6 / 127.5 - 1])).tolist() == [1, 2]
    assert images.to_uint8(torch.ones(2, dtype=torch.bfloat16)).tolist() == [255, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_is_read(tmp_path: Path, channels: int) -> None:
    image = torch.randint(0, 256, (channels, 5, 7), dtype=torch.uint8)
    images.write_image(tmp_path / "picture.png", image)
    assert torch.equal(images.read_image(tmp_path / "picture.png", channels), image)
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def full(self: Image.Image, file: Path, **_: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(EnvironmentFault, match=r"cannot write the picture .*picture\.png: No space left"):
        images.write_image(path, torch.zeros(3, 2, 2, dtype=torch.uint8))
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_images_are_listed_in_natural_order(tmp_path: Path) -> None:
    names = [
        "a/2.JPG",
        "a/10.png",
        "a/10.webp",
        "b.Tiff",
        "1.gif",
        "notes.txt",
        ".hidden.png",
        ".cache/x.png",
        "a/._2.jpg",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in images.list_images(tmp_path)]
    assert found == ["1.gif", "a/2.JPG", "a/10.png", "a/10.webp", "b.Tiff"]


def test_resize_agrees_with_pillow() -> None:
    source = picture(61, 40)
    expected = as_tensor(source.resize((33, 50), Image.Resampling.BICUBIC))
    assert (images.resize(as_tensor(source), 50, 33).int() - expected.int()).abs().max() <= 2


def test_centre_square_keeps_the_middle() -> None:
    image = torch.arange(10, dtype=torch.uint8).expand(3, 4, 10)
    assert images.centre_square(image)[0, 0].tolist() == [3, 4, 5, 6]
    assert images.centre_square(image.mT).shape == (3, 4, 4)


def test_to_grey_is_pillows_luma() -> None:
    error = images.to_grey(as_tensor(picture())).int() - as_tensor(picture().convert("L")).int()
    assert error.abs().max() <= 1


def cell(value: int, height: int = 40, width: int = 40) -> torch.Tensor:
    return torch.full((3, height, width), value, dtype=torch.uint8)


def test_a_grid_shows_small_cells_enlarged_in_their_columns() -> None:
    grid = images.label_grid([[cell(10), cell(20)], [cell(30), cell(40)]], ["a", "b"])
    below = grid[:, 28:]  # the labels are above, black to white
    for value in (10, 20, 30, 40):
        rows, columns = (below == value).all(0).nonzero(as_tuple=True)
        assert len(rows) == 160 * 160  # four times 40 is the first multiple that reaches 128
        assert (rows.max() - rows.min(), columns.max() - columns.min()) == (159, 159)
    assert grid[:, 0].eq(255).all()


def test_large_cells_keep_their_size() -> None:
    grid = images.label_grid([[cell(10, 130, 20)]], ["a"])
    assert (grid[:, 28:] == 10).all(0).sum() == 130 * 20


def test_a_long_label_makes_its_column_wider() -> None:
    label = "a_very_long_name_of_a_signal_" * 3
    grid = images.label_grid([[cell(200), cell(200), cell(200)]], ["a", label, "b"])
    dark = (grid[0, :28] < 128).any(0).nonzero().flatten()
    alone = images.label_grid([[cell(200)]], [label])
    assert grid.shape[2] == 2 * 168 + alone.shape[2]
    inked = dark[(dark > 168) & (dark < grid.shape[2] - 168)]
    lone = (alone[0, :28] < 128).any(0).nonzero().flatten()
    assert torch.equal(inked - inked[0], lone - lone[0])  # every letter of it, and none of a neighbour's


def test_grey_cells_are_shown() -> None:
    grid = images.label_grid([[cell(10)[:1]]], ["a"])
    assert (grid[:, 28:] == 10).all(0).sum() == 160 * 160


def test_heat_grows_brighter_with_the_value() -> None:
    colours = images.heat_map(torch.linspace(-0.5, 1.5, 41).view(1, -1))
    assert colours.shape == (3, 1, 41)
    assert colours.dtype == torch.uint8
    assert colours[:, 0, 0].tolist() == [0, 0, 4]
    assert colours[:, 0, -1].tolist() == [252, 255, 164]
    luma = images.to_grey(colours)[0, 0].int()
    assert (luma.diff() >= 0).all()


def test_no_damage_to_a_file_ends_the_process(tmp_path: Path) -> None:
    """A decoder that crashes would take the whole training with it, so this one has a process of its own."""
    rng = random.Random(0)
    noise = Image.frombytes("RGB", (48, 48), rng.randbytes(48 * 48 * 3))
    whole = {"deep": deep_png(rng.randbytes(24 * (1 + 6 * 24)), rows=24)}
    for format in ("PNG", "JPEG", "WEBP"):
        buffer = io.BytesIO()
        noise.save(buffer, format)
        whole[format] = buffer.getvalue()
    for kind, content in whole.items():
        for number in range(24):
            damaged = bytearray(content[: rng.randrange(30, len(content))] if number % 3 == 0 else content)
            damaged[rng.randrange(20, len(damaged))] ^= 1 << rng.randrange(8)
            (tmp_path / f"{kind}_{number}.png").write_bytes(damaged)
    # Sound checksums, but rows that are missing, and a filter that does not exist.
    (tmp_path / "short.png").write_bytes(deep_png(bytes(20 * (1 + 6 * 24)), rows=24))
    (tmp_path / "filter.png").write_bytes(deep_png(b"\x09" * (24 * (1 + 6 * 24)), rows=24))
    code = (
        "import sys\nfrom pathlib import Path\nfrom ganforge import EnvironmentFault, images\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    for read in (images.read_image, images.read_exact):\n"
        "        try: read(path)\n        except EnvironmentFault: pass\n"
    )
    done = forked.run([sys.executable, "-c", code, tmp_path])
    assert done.returncode == 0, (done.returncode, done.stderr)


def deep_png(rows_of_bytes: bytes, rows: int) -> bytes:
    """A PNG of 16 bits a colour, 24 pixels wide; every row begins with its filter."""
    width = 24
    if len(set(rows_of_bytes)) > 10:
        stride = 1 + 6 * width
        rows_of_bytes = b"".join(
            b"\0" + rows_of_bytes[i + 1 : i + stride] for i in range(0, len(rows_of_bytes), stride)
        )

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, rows, 16, 2, 0, 0, 0)
    pieces = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows_of_bytes)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)
