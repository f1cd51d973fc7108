"""Crops and flips: drawn from the generator alone, and the same by the batch, in one kernel, as one by one."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ganforge import BadFile, Dataset, Samples, images
from ganforge.builtin.datasets import ClassFolders, ImageFolder, PairedFolders, Shapes, UnpairedFolders
from ganforge.builtin.datasets.framing import Framing
from ganforge.testing.checking import never_waiting


def rngs(count: int) -> list[random.Random]:
    return [random.Random(seed) for seed in range(count)]


def stacked(framing: Framing, held: Tensor, indices: list[int]) -> Tensor:
    return torch.stack([framing.augment(held[i], rng) for i, rng in zip(indices, rngs(len(indices)), strict=True)])


@pytest.fixture
def held() -> Tensor:
    return torch.randint(0, 256, (5, 4, 14, 14), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_every_place_is_cut_and_half_are_mirrored() -> None:
    framing = Framing(6, 5, flip=True)
    picture = torch.arange(36, dtype=torch.uint8).view(1, 6, 6)
    crops = [framing.augment(picture, random.Random(seed))[0, 0] for seed in range(200)]
    assert {int(crop.min()) for crop in crops} == {0, 1, 6, 7}
    assert 70 < sum(bool(crop[0] > crop[1]) for crop in crops) < 130
    assert all(crop[0] < crop[1] for crop in (Framing(6, 5, False).augment(picture, rng)[0, 0] for rng in rngs(20)))


@pytest.mark.parametrize(("crop_px", "flip"), [(9, True), (9, False), (14, True), (1, True)])
def test_a_batch_is_its_pictures(held: Tensor, crop_px: int, flip: bool) -> None:
    framing = Framing(14, crop_px, flip)
    indices = [random.Random(0).randrange(5) for _ in range(40)]
    expected = stacked(framing, held, indices)
    for batch in (framing.batch, framing.gather):
        made = batch(held, indices, rngs(40))
        assert made.dtype == torch.uint8
        assert made.is_contiguous()
        assert torch.equal(made, expected)


def test_a_gathered_batch_is_one_kernel_that_nothing_waits_for(held: Tensor) -> None:
    """The device that holds no values stands for a GPU here: what it does is one copy of indices, and one indexing."""
    framing, there = Framing(14, 9, flip=True), held.to("meta")
    with never_waiting(), _Kernels() as kernels:
        made = framing.batch(there, [0, 3], rngs(2))
    assert (made.device.type, made.shape) == ("meta", (2, 4, 9, 9))
    assert kernels.names == ["_to_copy", "index"]


class _Kernels(TorchDispatchMode):
    """Notes the operations that give the meta device work."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.device.type == "meta" and not func.is_view:
            self.names.append(func.overloadpacket.__name__)
        return result


@pytest.fixture
def folders(make_pictures: Callable[..., None], tmp_path: Path) -> Path:
    for folder in ("trainA", "trainB", "testA", "testB", "classes/ant", "classes/bee"):
        make_pictures(folder, ["1.png", "2.png", "3.png"])
    return tmp_path


SIZES = {"load_px": 14, "crop_px": 12}
DATASETS: dict[str, Callable[..., Dataset]] = {
    "unpaired": lambda root, cache: UnpairedFolders(root, cache=cache, channels_b=1, **SIZES),
    "paired": lambda root, cache: PairedFolders(root, "two_folders", cache=cache, channels_a=1, **SIZES),
    "image": lambda root, cache: ImageFolder(root / "classes", cache=cache, **SIZES),
    "class": lambda root, cache: ClassFolders(root / "classes", classes=2, cache=cache, **SIZES),
    "shapes": lambda root, cache: Shapes(size_px=16, count=5, validation=2),
}


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize("cache", ["none", "memory"])
@pytest.mark.parametrize("name", DATASETS)
def test_batches_are_samples_bit_for_bit(
    name: str, cache: str, gathered: bool, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = DATASETS[name](folders, cache)
    if gathered and cache == "memory":  # as where the pictures lie on a GPU
        monkeypatch.setattr(Framing, "batch", Framing.gather)
    for samples in filter(None, (dataset.train(), dataset.validation())):
        indices = [len(samples) - 1, 0, 1, 0]
        ours, theirs = samples.batch(indices, rngs(4)), Samples.batch(samples, indices, rngs(4))
        assert ours.keys() == theirs.keys()
        for field, value in ours.items():
            assert value.dtype == theirs[field].dtype
            assert torch.equal(value, theirs[field])
            assert images.to_float(value).is_contiguous()  # one layout, whatever made it: convolutions round by it


def picture(height: int, width: int) -> Tensor:
    """Where a pixel lies is what it holds: its row in red, its column in green."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((rows, columns, torch.zeros_like(rows))).to(torch.uint8)


def test_rectangles_are_cropped_and_gathered_alike() -> None:
    framing = Framing((10, 20), (4, 15), flip=True)
    held = torch.randint(0, 256, (5, 3, 10, 20), dtype=torch.uint8)
    expected = stacked(framing, held, [4, 0, 2])
    assert expected.shape == (3, 3, 4, 15)
    assert torch.equal(framing.gather(held, [4, 0, 2], rngs(3)), expected)
    deep = held.to(torch.uint16)
    assert torch.equal(framing.gather(deep, [4, 0, 2], rngs(3)), expected.to(torch.uint16))


def test_cover_keeps_proportions_and_cuts_evenly() -> None:
    framing = Framing((8, 14), (8, 14), False, "cover")
    assert torch.equal(framing.bring(picture(8, 20)), picture(8, 20)[:, :, 3:17])
    assert torch.equal(framing.bring(picture(10, 14)), picture(10, 14)[:, 1:9])
    assert framing.bring(picture(100, 40)).shape == (3, 8, 14)
    # A circle stays one.
    yy, xx = torch.meshgrid(torch.arange(80), torch.arange(200), indexing="ij")
    disc = (((yy - 40) ** 2 + (xx - 100) ** 2) < 20**2).to(torch.uint8).mul(255).expand(3, -1, -1).contiguous()
    seen = Framing((40, 40), (40, 40), False, "cover").bring(disc)[0] > 127
    assert seen.any(0).sum() == seen.any(1).sum() == 20


def test_contain_keeps_all_and_says_where_it_is() -> None:
    framing = Framing((12, 12), (12, 12), False, "contain", mask=True)
    white = torch.full((1, 30, 60), 255, dtype=torch.uint8)
    filled = framing.bring(white)
    assert filled.shape == (2, 12, 12)
    assert torch.equal(filled[0], filled[1])  # white where the picture is, black elsewhere
    assert filled[1, 3:9].eq(255).all()
    assert filled[1].count_nonzero() == 6 * 12
    assert Framing(12, 12, False, "contain").bring(white.float().div(255)).min() == -1  # black of floats


def test_none_takes_crops_at_the_pictures_own_scale() -> None:
    framing = Framing(None, (4, 6), False, "none")
    there = picture(9, 30)
    crops = [framing.augment(framing.bring(there), rng) for rng in rngs(60)]
    for crop in crops:
        top, left = int(crop[0, 0, 0]), int(crop[1, 0, 0])
        assert torch.equal(crop, there[:, top : top + 4, left : left + 6])
    assert {int(crop[0, 0, 0]) for crop in crops} == set(range(6))
    assert torch.equal(framing.whole.bring(there), images.centre_crop(there, 4, 6))
    with pytest.raises(ValueError, match="it is 3 x 30 px, and a sample 4 x 6 px"):
        framing.bring(picture(3, 30))


@pytest.mark.parametrize(("scale", "size"), [(20, (20, 40)), ({"shorter": 20}, (20, 40)), ({"longer": 20}, (10, 20))])
def test_one_side_is_scaled_and_the_other_in_proportion(scale: Any, size: tuple[int, int]) -> None:
    assert Framing(None, 4, False, "none", scale).bring(picture(50, 100)).shape[1:] == size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "none"}, "`fit: none` keeps the scale"),
        ({"scale_px": 9}, "`scale_px` keeps a picture's proportions"),
        ({"mask": True}, "`fit: squeeze` fills up nothing"),
        ({"crop_px": (8, 9)}, "`load_px` should be so too"),
        ({"fit": "none", "load_px": None, "scale_px": {"shorter": 3, "longer": 4}}, "names one side"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnpairedFolders(tmp_path, **({"load_px": 14, "crop_px": 12} | options))


def test_the_usual_enlargement_is_that_of_the_sample() -> None:
    assert UnpairedFolders(Path(), crop_px=(128, 224)).framing.load == (143, 250)
    assert UnpairedFolders(Path(), crop_px=128).framing.load == (286, 286)  # as it ever was


def test_files_that_are_too_small_are_told_at_once(make_pictures: Callable[..., None], tmp_path: Path) -> None:
    for folder in ("trainA", "trainB"):
        make_pictures(folder, [f"{number}.png" for number in range(4)])
    for name in ("small.png", "tiny.png"):
        Image.new("RGB", (9, 40)).save(tmp_path / "trainB" / name)
    dataset = UnpairedFolders(tmp_path, crop_px=12, fit="none", load_px=None)
    with pytest.raises(BadFile) as raised:
        dataset.prepare()
    assert str(raised.value).startswith("2 files do not fit:\n")
    for name in ("small.png", "tiny.png"):
        assert f"trainB/{name}: it is 9 x 40, and a sample is 12 x 12 (width x height)" in str(raised.value)
    assert "fit: cover" in str(raised.value)
    UnpairedFolders(tmp_path, crop_px=12, fit="none", scale_px=12, load_px=None).prepare()


@pytest.mark.parametrize("cache", ["none", "memory", "device"])
@pytest.mark.parametrize("fit", ["cover", "contain", "none"])
def test_every_dataset_frames_rectangles(folders: Path, fit: Any, cache: Any) -> None:
    options = {"fit": fit, "crop_px": (6, 9), "cache": cache, "mask": fit == "contain"}
    datasets = [
        (UnpairedFolders(folders, **options), ("a", "b")),
        (PairedFolders(folders, layout="two_folders", **options), ("a", "b")),
        (ImageFolder(folders / "classes", **options), ("",)),
        (ClassFolders(folders / "classes", 2, **options), ("",)),
    ]
    for dataset, domains in datasets:
        dataset.prepare()
        expected = {f"real{'_' * bool(d)}{d}": (3, 6, 9) for d in domains}
        if fit == "contain":
            expected |= {f"mask{'_' * bool(d)}{d}": (1, 6, 9) for d in domains}
        for samples in (dataset.train(), dataset.validation()):
            sample = {} if samples is None else samples.batch([0, 1], rngs(2))
            shapes = {name: tuple(value.shape[1:]) for name, value in sample.items() if name != "label"}
            assert shapes in ({}, expected)
            assert all(value.unique().tolist() in ([0, 1], [1]) for name, value in sample.items() if "mask" in name)
        assert {name: shape for name, shape in dataset.shapes().items() if name != "label"} == expected


def test_pairs_stay_aligned(make_pictures: Callable[..., None], tmp_path: Path) -> None:
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
        for number, size in enumerate(((20, 31), (9, 12))):
            Image.fromarray(picture(*size).permute(1, 2, 0).numpy()).save(tmp_path / folder / f"{number}.png")
    for fit in ("none", "cover", "contain"):
        samples = PairedFolders(tmp_path, layout="two_folders", crop_px=8, load_px=None, fit=fit).train()
        for seed in range(9):
            sample = samples.sample(seed % 2, random.Random(seed))
            assert torch.equal(sample["real_a"], sample["real_b"])


def test_pairs_of_two_sizes_are_told(tmp_path: Path) -> None:
    for folder, size in (("trainA", (20, 30)), ("trainB", (20, 31))):
        (tmp_path / folder).mkdir()
        Image.new("RGB", size).save(tmp_path / folder / "x.png")
    dataset = PairedFolders(tmp_path, layout="two_folders", crop_px=8, load_px=None, fit="none")
    with pytest.raises(BadFile, match=r"trainA/x.png and .*trainB/x.png: they are of different sizes, 20x30 and 20x31"):
        dataset.train().sample(0, random.Random(0))
    with pytest.raises(BadFile, match=r"of different sizes:\n .*trainA/x.png 20x30, .*trainB/x.png 20x31"):
        dataset.prepare()
