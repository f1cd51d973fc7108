"""Pictures of any channels, depths and ranges come back as they were stored, through files of every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganforge import BadFile, EnvironmentFault, images
from ganforge.images import Percentiles, Storage
from ganforge.images.headers import read_header
from ganforge.images.storage import as_mask, read_mask


def ramp(channels: int, dtype: torch.dtype, height: int = 6, width: int = 7) -> Tensor:
    """All different, in each channel otherwise."""
    numbers = torch.arange(channels * height * width).reshape(channels, height, width)
    if dtype == torch.float32:
        return numbers.float().mul(0.37).sub(11)
    return (numbers * (1 if dtype == torch.uint8 else 601) % (256 if dtype == torch.uint8 else 65536)).int().to(dtype)


KEPT = [
    *((suffix, channels, torch.uint8) for suffix in (".png", ".tiff", ".npy") for channels in (1, 2, 3, 4)),
    *((suffix, channels, torch.uint16) for suffix in (".png", ".tiff", ".npy") for channels in (1, 2, 3, 4)),
    *((suffix, channels, torch.float32) for suffix in (".tiff", ".npy") for channels in (1, 2, 3, 4, 5)),
    *((suffix, channels, torch.uint8) for suffix in (".tif", ".npy") for channels in (5, 13)),
    *((suffix, channels, torch.uint16) for suffix in (".tif", ".npy") for channels in (5, 13)),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "channels", "dtype"), KEPT)
def test_what_is_written_is_read(tmp_path: Path, suffix: str, channels: int, dtype: torch.dtype) -> None:
    stored = ramp(channels, dtype)
    images.write_image(tmp_path / f"x{suffix}", stored)
    depth = {torch.uint8: 8, torch.uint16: 16, torch.float32: "float"}[dtype]
    range_ = "file" if dtype == torch.float32 else None
    storage = Storage(channels, depth, range_)  # type: ignore[arg-type]
    travelling = storage.read(tmp_path / f"x{suffix}")
    if dtype != torch.float32:
        assert torch.equal(travelling, stored)
        assert torch.equal(storage.stored(images.to_float(travelling)), stored)
    else:
        assert torch.allclose(storage.stored(travelling, storage.limits(stored)), stored, atol=1e-5)
        assert (travelling.min(), travelling.max()) == (-1, 1)


def test_other_programs_read_what_is_written(tmp_path: Path) -> None:
    for channels, mode in ((1, "I;16"), (3, "RGB"), (4, "RGBA")):
        images.write_image(tmp_path / f"{channels}.png", ramp(channels, torch.uint16))
        assert Image.open(tmp_path / f"{channels}.png").mode == mode
    images.write_image(tmp_path / "float.tiff", ramp(1, torch.float32))
    assert np.array_equal(np.array(Image.open(tmp_path / "float.tiff")), ramp(1, torch.float32)[0].numpy())
    images.write_image(tmp_path / "five.npy", ramp(5, torch.uint16))
    assert np.load(tmp_path / "five.npy").shape == (6, 7, 5)


@pytest.mark.parametrize(
    ("suffix", "picture", "reason"),
    [
        (".jpg", ramp(4, torch.uint8), "does not keep 4 channels"),
        (".jpg", ramp(3, torch.uint16), "does not keep 16 bits"),
        (".png", ramp(1, torch.float32), "does not keep floats"),
        (".png", ramp(5, torch.uint8), "does not keep 5 channels"),
    ],
)
def test_what_a_format_does_not_keep_is_refused(tmp_path: Path, suffix: str, picture: Tensor, reason: str) -> None:
    with pytest.raises(EnvironmentFault, match=f"{reason}\n  write .(tiff|png)"):
        images.write_image(tmp_path / f"x{suffix}", picture)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("array", [ramp(5, torch.uint16).numpy(), ramp(5, torch.uint16).permute(1, 2, 0).numpy()])
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_arrays_have_their_channels_first_or_last(tmp_path: Path, name: str, array: np.ndarray) -> None:
    (np.save if name == "x.npy" else np.savez)(tmp_path / name, array)  # type: ignore[operator]
    assert torch.equal(Storage(5, 16).read(tmp_path / name), ramp(5, torch.uint16))


def test_arrays_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "four.npy", np.zeros((2, 3, 4, 5)))
    np.save(tmp_path / "objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", np.zeros((2, 3)), np.zeros((2, 3)))
    for name, reason in (("four.npy", r"\[2, 3, 4, 5\]"), ("objects.npy", "allow_pickle"), ("two.npz", "2 arrays")):
        with pytest.raises(BadFile, match=reason):
            Storage(3, 8).read(tmp_path / name)


def test_pages_are_channels(tmp_path: Path) -> None:
    pages = [Image.fromarray(page) for page in ramp(6, torch.uint16).numpy()]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    assert torch.equal(Storage(6, 16).read(tmp_path / "stack.tif"), ramp(6, torch.uint16))


def test_nothing_is_rounded_on_the_way(tmp_path: Path) -> None:
    """The lowest bit of 16, and of 12 by a range, is there in what networks see."""
    for path, storage, step in (
        (tmp_path / "16.png", Storage(1, 16), 2 / 65535),
        (tmp_path / "12.png", Storage(1, 16, (0, 4095)), 2 / 4095),
    ):
        images.write_image(path, torch.tensor([[[1000, 1001, 1002]]], dtype=torch.int32).to(torch.uint16))
        seen = images.to_float(storage.read(path))[0, 0]
        assert torch.allclose(seen.diff(), torch.full((2,), step), atol=1e-6)


def test_a_range_says_what_is_black_and_white(tmp_path: Path) -> None:
    stored = torch.tensor([[[-1000.0, 0.0, 1000.0, 3000.0]]])
    images.write_image(tmp_path / "ct.tiff", stored)
    storage = Storage(1, "float", (-1000, 1000))
    seen = storage.read(tmp_path / "ct.tiff")
    assert seen.tolist() == [[[-1, 0, 1, 1]]]  # clamped
    assert torch.equal(storage.stored(seen), stored.clamp(max=1000))
    percentiles = Storage(1, "float", Percentiles((0, 50)))
    assert percentiles.limits(stored) == (-1000, 500)


def test_a_flat_file_of_its_own_range_is_black(tmp_path: Path) -> None:
    images.write_image(tmp_path / "flat.tiff", torch.full((1, 2, 2), 7.0))
    storage = Storage(1, "float", "file")
    seen = storage.read(tmp_path / "flat.tiff")
    assert seen.unique().tolist() == [-1]
    assert storage.stored(seen, (7.0, 7.0)).unique().tolist() == [7]


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    images.write_image(tmp_path / "nan.tiff", torch.tensor([[[1.0, float("nan")]]]))
    with pytest.raises(BadFile, match=r"nan.tiff: it holds NaN or infinity"):
        Storage(1, "float", (0, 1)).read(tmp_path / "nan.tiff")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((1, "float"), "needs a range"),
        ((1, 16, (4095, 0)), "from black to white"),
    ],
)
def test_a_storage_that_makes_no_sense_is_refused(arguments: tuple, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Storage(*arguments)


def test_transparency_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    rgba = torch.tensor([255, 0, 0, 51], dtype=torch.uint8).view(4, 1, 1).expand(4, 2, 3).contiguous()
    images.write_image(tmp_path / "x.png", rgba)
    assert torch.equal(Storage(4).read(tmp_path / "x.png"), rgba)
    assert Storage(3).read(tmp_path / "x.png")[:, 0, 0].tolist() == [255, 204, 204]
    grey, alpha = Storage(2).read(tmp_path / "x.png")[:, 0, 0].tolist()
    assert (grey, alpha) == (76, 51)
    images.write_image(tmp_path / "opaque.png", rgba[:3])
    assert Storage(4).read(tmp_path / "opaque.png")[:, 0, 0].tolist() == [255, 0, 0, 255]


@pytest.mark.parametrize("suffix", [".tiff", ".npy", ".png"])
def test_other_channels_are_refused_with_the_cure(tmp_path: Path, suffix: str) -> None:
    has = 3 if suffix == ".png" else 7
    images.write_image(tmp_path / f"x{suffix}", ramp(has, torch.uint8))
    told = rf"x{suffix}: it has {has} channels, and 5 are asked for\n  say `channels: {has}`"
    with pytest.raises(BadFile, match=told):
        Storage(5).read(tmp_path / f"x{suffix}")


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images.write_image(tmp_path / "x.tiff", ramp(5, torch.uint16))
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(BadFile, match=r"read with tifffile, which is not installed\n  pip install 'ganforge\[tiff\]'"):
        Storage(5, 16).read(tmp_path / "x.tiff")


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
def test_masks_of_any_numbers_are_masks(tmp_path: Path, white: int, dtype: type) -> None:
    there = np.array([[0, 1], [1, 0]])
    np.save(tmp_path / "mask.npy", (there * white).astype(dtype))
    assert read_mask(tmp_path / "mask.npy").tolist() == [[[0, 255], [255, 0]]]
    Image.fromarray((there * white).astype(np.uint8)).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[[0, 255], [255, 0]]]


def test_masks_may_be_floats_of_networks() -> None:
    assert as_mask(torch.tensor([-1.0, -0.2, 0.2, 1.0])).tolist() == [0, 0, 255, 255]
    assert as_mask(torch.zeros(3)).tolist() == [0, 0, 0]


def test_signed_bytes_are_numbers_below_zero(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "signed.tif", np.array([[-128, 0, 127]], np.int8))
    seen = Storage(1, "float", (-128, 127)).read(tmp_path / "signed.tif")
    assert torch.allclose(seen, torch.tensor([[[-1, 0.00392, 1]]]), atol=1e-4)


def write_dicom(path: Path, values: np.ndarray, **more: object) -> None:
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    slice_ = pydicom.Dataset()
    slice_.file_meta = meta
    slice_.Rows, slice_.Columns = values.shape
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit, slice_.PixelRepresentation = 15, int(values.dtype == np.int16)
    slice_.PixelData = values.tobytes()
    for name, value in more.items():
        setattr(slice_, name, value)
    slice_.save_as(path, enforce_file_format=True)


def test_dicom_is_rescaled_as_it_says(tmp_path: Path) -> None:
    write_dicom(tmp_path / "ct.dcm", np.array([[0, 1000, 2000]], np.int16), RescaleSlope=1, RescaleIntercept=-1000)
    seen = Storage(1, "float", (-1000, 1000)).read(tmp_path / "ct.dcm")
    assert seen.tolist() == [[[-1, 0, 1]]]
    inverted = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    write_dicom(tmp_path / "x.dcm", np.array([[0, 1000, 4095]], np.uint16), **inverted)
    assert Storage(1, 16).read(tmp_path / "x.dcm").tolist() == [[[4095, 3095, 0]]]


def test_arrays_are_pictures_where_no_others_are(tmp_path: Path) -> None:
    for name in ("2.npy", "10.npy"):
        np.save(tmp_path / name, np.zeros((3, 4), np.uint8))
    assert [path.name for path in images.list_images(tmp_path)] == ["2.npy", "10.npy"]
    images.write_image(tmp_path / "a.png", ramp(1, torch.uint8))
    assert [path.name for path in images.list_images(tmp_path)] == ["a.png"]


def test_the_channels_of_a_cube_are_last(tmp_path: Path) -> None:
    cube = np.arange(125, dtype=np.uint8).reshape(5, 5, 5)
    np.save(tmp_path / "cube.npy", cube)
    assert np.array_equal(Storage(5).read(tmp_path / "cube.npy").numpy(), cube.transpose(2, 0, 1))


@pytest.mark.parametrize("name", ["a.npy", "b.npz", "c.dcm", "d.tif"])
def test_headers_tell_what_decoding_would_give(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, path = ramp(1 if name == "c.dcm" else 5, torch.uint16), tmp_path / name
    match path.suffix:
        case ".dcm":
            write_dicom(path, stored[0].numpy())
        case ".npz":
            np.savez_compressed(path, stored.numpy())
        case _:
            images.write_image(path, stored)
    whole = Storage(len(stored), 16).read(path)
    monkeypatch.setattr("ganforge.images.scientific._numbers", None)  # no pixel is touched
    header = read_header(path, len(stored))
    assert ((header.channels, header.height, header.width), header.numbers) == (tuple(whole.shape), "")


def test_values_are_scaled_without_being_changed() -> None:
    numbers = torch.tensor([[[0.0, 4.0]]], dtype=torch.float64)
    assert Storage(1, "float", (0, 4)).seen(numbers).tolist() == [[[-1, 1]]]
    assert numbers.tolist() == [[[0, 4]]]
