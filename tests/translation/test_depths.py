"""Pictures of 16 bits a channel keep them: read, converted, resized and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganforge import images
from ganforge.errors import EnvironmentFault


def deep(channels: int, height: int = 21, width: int = 34) -> Tensor:
    """Noise of 16 bits: its low bytes matter."""
    made = np.random.default_rng(channels).integers(0, 65536, (channels, height, width), dtype=np.uint16)
    return torch.from_numpy(made)


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_written_and_read_without_loss(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "x.png"
    images.write_image(path, deep(channels))
    assert torch.equal(images.read_exact(path, channels), deep(channels))
    assert [file.name for file in tmp_path.iterdir()] == ["x.png"]


def test_others_read_what_we_write(tmp_path: Path) -> None:
    """Pillow reads grey in full and colours to 8 bits; torchvision's decoder reads both."""
    io = pytest.importorskip("torchvision.io")
    for channels in (1, 3):
        images.write_image(tmp_path / "x.png", deep(channels))
        encoded = torch.frombuffer(bytearray((tmp_path / "x.png").read_bytes()), dtype=torch.uint8)
        assert torch.equal(io.decode_image(encoded, io.ImageReadMode.UNCHANGED), deep(channels))
        with Image.open(tmp_path / "x.png") as image:
            image.verify()
            assert image.size == (34, 21)
    images.write_image(tmp_path / "grey.png", deep(1))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "grey.png")), deep(1)[0].numpy())


def test_smooth_pictures_become_small_files(tmp_path: Path) -> None:
    slope = torch.linspace(0, 65535, 256).view(1, -1, 1).expand(3, 256, 256).to(torch.int32).to(torch.uint16)
    images.write_image(tmp_path / "x.png", slope)
    assert (tmp_path / "x.png").stat().st_size < slope.numel() * 2 / 50


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_others_grey_is_read_exactly(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(deep(1)[0].numpy()).save(tmp_path / f"x{suffix}")
    assert torch.equal(images.read_exact(tmp_path / f"x{suffix}", 1), deep(1))
    assert torch.equal(images.read_exact(tmp_path / f"x{suffix}", 3), deep(1).repeat(3, 1, 1))


def test_reading_for_training_rounds_to_8_bits(tmp_path: Path) -> None:
    images.write_image(tmp_path / "x.png", deep(1))
    expected = (deep(1).to(torch.int32) + 128) // 257
    assert torch.equal(images.read_image(tmp_path / "x.png", 1).to(torch.int32), expected)
    assert images.read_image(tmp_path / "x.png").dtype == torch.uint8


def test_colours_as_grey(tmp_path: Path) -> None:
    images.write_image(tmp_path / "x.png", deep(3))
    red, green, blue = deep(3).double()
    expected = 0.299 * red + 0.587 * green + 0.114 * blue
    assert (images.read_exact(tmp_path / "x.png", 1)[0].double() - expected).abs().max() < 40


def test_what_has_8_bits_stays_so(tmp_path: Path) -> None:
    image = torch.randint(0, 256, (3, 9, 8), dtype=torch.uint8)
    images.write_image(tmp_path / "x.png", image)
    assert torch.equal(images.read_exact(tmp_path / "x.png"), image)


def test_every_value_survives_the_networks_view_of_it() -> None:
    every = torch.arange(65536, dtype=torch.int32).to(torch.uint16)
    floats = images.to_float(every)
    assert (floats.min(), floats.max()) == (-1, 1)
    assert torch.equal(images.to_uint16(floats), every)
    assert images.to_uint16(every) is every


def test_between_the_depths() -> None:
    every = torch.arange(256, dtype=torch.int32).to(torch.uint8)
    assert torch.equal(images.to_uint8(images.to_uint16(every)), every)
    assert images.to_uint16(torch.tensor([-2.0, 0.0, 2.0])).tolist() == [0, 32768, 65535]


def test_resizing_keeps_16_bits() -> None:
    slope = torch.linspace(0, 65535, 64).expand(1, 64, 64).to(torch.int32).to(torch.uint16)
    half = images.resize(slope, 32, 32)
    assert half.dtype == torch.uint16
    middle = half[0, 0, 4:-4].double()
    assert (middle - torch.linspace(0, 65535, 64)[8:-8].double().view(-1, 2).mean(1)).abs().max() < 10


def test_other_formats_have_8_bits(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"\.jpg does not keep 16 bits\n  write \.png"):
        images.write_image(tmp_path / "x.jpg", deep(3))
    assert list(tmp_path.iterdir()) == []


def test_pillows_pictures() -> None:
    grey = Image.fromarray(deep(1)[0].numpy())
    assert torch.equal(images.from_pillow(grey, 1), deep(1))
    assert np.array_equal(np.asarray(images.to_pillow(deep(1))), deep(1)[0].numpy())
    assert images.to_pillow(deep(3)).mode == "RGB"
    assert images.from_pillow(Image.new("RGB", (4, 3), "red"), 1).shape == (1, 3, 4)
