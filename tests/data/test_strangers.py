"""What once went wrong in silence with somebody's own files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from documents import blocks
from PIL import Image
from tiny import TINY

from ganforge import BadFile, EnvironmentFault, UsageError, images
from ganforge.builtin.datasets import MultiFolders, PairedFolders
from ganforge.builtin.datasets.fields import FieldSource
from ganforge.images import Storage
from ganforge.inference.translate.picture_types import opened


@pytest.mark.parametrize(
    ("depth", "limits", "cure"),
    [
        (8, (0, 4095), "say `depth: 16`"),
        (16, (-1000, 3000), "say `depth: float`"),
        (16, (0, 1), "say `depth: float`"),
        (8, (0, 70000), "say `depth: float`"),
    ],
)
def test_a_range_that_results_could_not_have_is_refused(depth: int, limits: tuple[float, float], cure: str) -> None:
    with pytest.raises(ValueError, match=cure):
        Storage(1, depth, limits)  # type: ignore[arg-type]


def test_a_files_own_range_must_fit_the_depth(tmp_path: Path) -> None:
    images.write_image(tmp_path / "deep.png", torch.tensor([[[5, 3000]]], dtype=torch.int32).to(torch.uint16))
    with pytest.raises(BadFile, match=r"deep.png: its values go from 5 to 3000, and `depth: 8` .*\n  say `depth: 16`"):
        Storage(1, 8, "file").read(tmp_path / "deep.png")
    assert Storage(1, 16, "file").read(tmp_path / "deep.png").tolist() == [[[-1, 1]]]


def test_a_band_is_no_transparency(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "nir.tif", np.full((3, 4, 4), 900, np.uint16), photometric="minisblack", planarconfig="contig"
    )
    for channels in (1, 3):
        with pytest.raises(BadFile, match=f"it has 4 channels, and {channels} are asked for\n  say `channels: 4`"):
            Storage(channels, 16).read(tmp_path / "nir.tif")
    assert int(Storage(4, 16).read(tmp_path / "nir.tif").int().unique()) == 900


def test_inks_of_16_bits_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cmyk.tif", np.zeros((3, 4, 4), np.uint16), photometric="separated")
    with pytest.raises(BadFile, match=r"the inks of CMYK.*\n  store it as RGB"):
        Storage(3, 16).read(tmp_path / "cmyk.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_of_any_depth_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    shown = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "8.tif", shown, photometric="rgb", extratags=tag)
    tifffile.imwrite(tmp_path / "16.tif", shown.astype(np.uint16) * 257, photometric="rgb", extratags=tag)
    by_pillow = images.read_image(tmp_path / "8.tif")
    assert torch.equal(Storage(3, 16).read(tmp_path / "16.tif").int(), by_pillow.int() * 257)


def test_numbers_of_32_bits_are_what_they_are(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "u32.tif", np.array([[0, 2**31, 2**32 - 1]], np.uint32))
    seen = Storage(1, "float", (0, 2**32 - 1)).read(tmp_path / "u32.tif")
    assert torch.allclose(seen, torch.tensor([[[-1.0, 0.0, 1.0]]]), atol=1e-6)


def test_an_interlaced_png_of_16_bits_is_no_picture_of_8(tmp_path: Path, repository: Path) -> None:
    images.write_image(tmp_path / "x.png", torch.full((3, 2, 2), 900, dtype=torch.int32).to(torch.uint16))
    import struct
    import zlib

    data = bytearray((tmp_path / "x.png").read_bytes())
    data[28] = 1  # of IHDR: interlaced; the pixels do not matter, they are refused before
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "x.png").write_bytes(bytes(data))
    with pytest.raises(BadFile, match="16 bits that is interlaced"):
        Storage(3, 16, (0, 4095)).read(tmp_path / "x.png")


def test_pictures_of_pillow_are_converted_as_files_are() -> None:
    palette = Image.new("RGB", (2, 1), (255, 0, 0)).convert("P", palette=Image.Palette.ADAPTIVE)
    taken, _ = opened(palette, Storage(3, 16))
    assert taken[0, :, 0, 0].tolist() == [65535, 0, 0]
    with pytest.raises(UsageError, match="no pixels"):
        opened(np.zeros((0, 3, 3), np.uint8), Storage(3))


def test_a_pairs_partner_is_looked_for_anywhere(tmp_path: Path) -> None:
    dataset = PairedFolders(tmp_path, layout="two_folders")
    assert dataset.partner(Path("p0.png"), "real_a") is None
    assert dataset.partner(Path("/p0.png"), "real_a") is None


def row(path: Path, text: str, **more: FieldSource) -> MultiFolders:
    (path / "t.csv").write_text(text)
    return MultiFolders({"photo": FieldSource(column="file"), **more}, path, Path("t.csv"), crop_px=2)


@pytest.fixture
def twice(tmp_path: Path) -> Path:
    for folder in ("a", "b", "masks/a", "masks/b", "flat"):
        (tmp_path / folder).mkdir(parents=True)
        value = 255 if folder.endswith("b") else 0
        images.write_image(tmp_path / folder / "1.png", torch.full((3, 4, 4), value, dtype=torch.uint8))
    return tmp_path


def test_files_of_one_name_in_two_folders_are_not_mixed_up(twice: Path) -> None:
    table = "file\na/1.png\nb/1.png\n"
    samples = row(twice, table, mask=FieldSource(folder="masks", kind="mask")).train()
    import random

    for number in range(2):
        sample = samples.sample(number, random.Random(0))
        assert float(sample["mask"].max()) == number == float(sample["photo"].float().max() / 255)
    with pytest.raises(EnvironmentFault, match=r"several files of .*t.csv are called '1'"):
        row(twice, table, mask=FieldSource(folder="flat", kind="mask")).prepare()


@pytest.mark.parametrize("name", ["split", "Split"])
@pytest.mark.parametrize("value", ["val", "Val", "validation", "valid"])
def test_splits_are_understood_however_they_are_called(twice: Path, name: str, value: str) -> None:
    dataset = row(twice, f"file,{name}\na/1.png,Train\nb/1.png,{value}\n")
    validation = dataset.validation()
    assert validation is not None
    assert (len(dataset.train()), len(validation)) == (1, 1)


def test_a_row_of_no_split_is_told(twice: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"row 2 of .*t.csv has the split 'holdout', and so it is with 1 in all"):
        row(twice, "file,split\na/1.png,train\nb/1.png,holdout\n").prepare()


def test_classes_may_have_digits_for_names(in_tmp: Path, repository: Path, ganforge: Callable) -> None:
    (in_tmp / "faces/photos").mkdir(parents=True)
    lines = ["file,mood"]
    for number in range(6):
        images.write_image(
            in_tmp / f"faces/photos/{number}.png", torch.full((3, 20, 20), number * 40, dtype=torch.uint8)
        )
        lines.append(f"photos/{number}.png,{1 + number % 3}")
    (in_tmp / "faces/faces.csv").write_text("\n".join(lines))
    text = next(code for _, code in blocks(repository / "docs/data.md") if code.startswith("# faces.yaml"))
    text = text.replace("extends: stargan_folders", f"extends: {TINY}/stargan_folders.yaml")
    (in_tmp / "faces.yaml").write_text(text.replace("[angry, calm, happy, sad, tired]", '["1", "2", "3"]'))
    assert ganforge("run", "faces.yaml", "data.crop_px=16", "run.steps=1").code == 0
    run = ("translate", "runs/faces/0001", "faces/photos")
    from ganforge import load

    translate = load("runs/faces/0001", device="cpu")
    done = ganforge(*run, "-o", "third", "--input", "label=3")
    assert done.code == 0, done.err
    assert np.array_equal(np.array(Image.open("third/0.png")), np.array(translate("faces/photos/0.png", label=2)))
    assert ganforge(*run, "-o", "x", "--input", "label=1.7").code == 2
    assert ganforge(*run, "-o", "x", "--input", "label=1", "--input", "label=2").code == 2
