import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from indexed import Indexed
from torch import Tensor
from torch.utils.data import DataLoader

from ganforge import Dataset, EnvironmentFault, Sample, Samples, UsageError, images
from ganforge.builtin.datasets import ClassFolders, ImageFolder, PairedFolders, UnpairedFolders, caching
from ganforge.images import storage
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.training.loader import Loader

Make = Callable[..., None]
SHARED = Path(__file__).resolve().parents[2] / "../shared/datasets"


@pytest.fixture
def unpaired(tmp_path: Path, make_pictures: Make) -> Path:
    for folder, count in (("trainA", 3), ("trainB", 5), ("testA", 2), ("testB", 1)):
        make_pictures(folder, [f"{i}.png" for i in range(count)])
    return tmp_path


def draw(samples: Samples, index: int, seed: int = 0) -> Sample:
    return samples.sample(index, random.Random(seed))


def equal(left: Sample, right: Sample) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def shapes_of(sample: Sample) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in sample.items()}


def test_unpaired_samples_are_what_is_promised(unpaired: Path) -> None:
    dataset = UnpairedFolders(unpaired, load_px=14, crop_px=12, channels_b=1)
    dataset.prepare()
    train, validation = dataset.train(), dataset.validation()
    assert validation is not None
    assert (len(train), len(validation)) == (5, 2)  # the longer folder counts
    for sample in (draw(train, 4), draw(validation, 1)):
        assert shapes_of(sample) == dict(dataset.shapes()) == {"real_a": (3, 12, 12), "real_b": (1, 12, 12)}
        for image in sample.values():
            assert image.dtype == torch.uint8
            assert image.min() < 100 < 150 < image.max()


def test_an_unpaired_training_sample_is_resize_crop_flip(unpaired: Path) -> None:
    train = UnpairedFolders(unpaired, load_px=14, crop_px=12).train()
    rng = random.Random(7)
    partner = rng.randrange(5)
    expected = []
    for path in (unpaired / "trainA/1.png", unpaired / f"trainB/{partner}.png"):  # 4 % 3 = 1: A starts over
        whole = images.resize(images.read_image(path), 14, 14)
        top, left = rng.randint(0, 2), rng.randint(0, 2)
        crop = whole[:, top : top + 12, left : left + 12]
        expected.append(crop.flip(-1) if rng.random() < 0.5 else crop)
    sample = draw(train, 4, seed=7)
    assert torch.equal(sample["real_a"], expected[0])
    assert torch.equal(sample["real_b"], expected[1])


def test_samples_depend_on_their_generator_alone(unpaired: Path) -> None:
    train = UnpairedFolders(unpaired, load_px=14, crop_px=12).train()
    first = draw(train, 1, seed=3)
    random.seed(1)
    torch.manual_seed(1)
    draw(train, 2, seed=8)
    assert equal(draw(train, 1, seed=3), first)
    others = [draw(train, 1, seed=seed) for seed in range(20)]
    assert any(not torch.equal(other["real_a"], first["real_a"]) for other in others)  # crop, flip
    partners = {tuple(other["real_b"].flatten().tolist()) for other in others}
    assert len(partners) > 10


def test_validation_is_the_whole_picture_in_order(unpaired: Path) -> None:
    validation = UnpairedFolders(unpaired, load_px=14, crop_px=12).validation()
    assert validation is not None
    for index, (a, b) in enumerate([(0, 0), (1, 0)]):
        sample = draw(validation, index, seed=index)
        for field, path in (("real_a", f"testA/{a}.png"), ("real_b", f"testB/{b}.png")):
            whole = images.resize(images.read_image(unpaired / path), 12, 12)
            assert torch.equal(sample[field], whole)


def test_without_test_folders_there_is_no_validation(tmp_path: Path, make_pictures: Make) -> None:
    for folder in ("trainA", "trainB"):
        make_pictures(folder, ["1.png"])
    assert UnpairedFolders(tmp_path).validation() is None
    make_pictures("testB", ["1.png"])
    with pytest.raises(EnvironmentFault, match="testA: no such folder"):
        UnpairedFolders(tmp_path).validation()


def test_without_load_px_nothing_is_cropped(unpaired: Path) -> None:
    train = UnpairedFolders(unpaired, load_px=None, crop_px=12, flip=False).train()
    whole = images.resize(images.read_image(unpaired / "trainA/0.png"), 12, 12)
    assert all(torch.equal(draw(train, 0, seed)["real_a"], whole) for seed in range(5))


@pytest.mark.parametrize("dataset", [UnpairedFolders, PairedFolders, ImageFolder])
def test_a_crop_that_does_not_fit_says_what_to_do(dataset: Callable[..., Dataset]) -> None:
    with pytest.raises(ValueError, match="raise load_px to at least 256, or lower crop_px to at most 128"):
        dataset(Path("nowhere"), load_px=128, crop_px=256)


def test_an_unknown_benchmark_is_corrected() -> None:
    with pytest.raises(ValueError, match=r"unknown benchmark 'horse2zebr'; did you mean 'horse2zebra'\?"):
        UnpairedFolders(Path("nowhere"), download="horse2zebr")
    with pytest.raises(ValueError, match="unknown benchmark 'horse2zebra'; known: pix2pix_facades, pix2pix_maps"):
        PairedFolders(Path("nowhere"), download="horse2zebra")


def test_missing_folders_say_what_they_should_hold_and_how_to_get_it(tmp_path: Path, make_pictures: Make) -> None:
    root = tmp_path / "maps"
    with pytest.raises(EnvironmentFault) as missing:
        UnpairedFolders(root).prepare()
    assert f"{root}/trainA: no such folder; it should hold the train pictures of domain A (.bmp," in str(missing.value)
    assert "`download: maps` in the recipe, or `ganforge data download maps`" in str(missing.value)
    make_pictures("maps/trainA", ["1.png"])
    (root / "trainB").mkdir()
    with pytest.raises(EnvironmentFault, match="trainB: no pictures in it"):
        UnpairedFolders(root).prepare()
    with pytest.raises(EnvironmentFault, match=r"train: no such folder; .*(\n.*)`download: pix2pix_facades`"):
        PairedFolders(root).prepare()
    with pytest.raises(EnvironmentFault, match="nothing: no such folder"):
        ImageFolder(tmp_path / "nothing").prepare()


@pytest.mark.parametrize("left", ["a", "b"])
def test_halves_of_a_side_by_side_picture_move_together(tmp_path: Path, left: str) -> None:
    (tmp_path / "train").mkdir()
    half = torch.randint(0, 256, (3, 20, 20), dtype=torch.uint8)
    images.write_image(tmp_path / "train/1.png", torch.cat((half, 255 - half), 2))
    dataset = PairedFolders(tmp_path, left=left, load_px=20, crop_px=12)  # type: ignore[arg-type]
    train = dataset.train()
    assert dataset.validation() is None
    for seed in range(8):
        sample = draw(train, 0, seed)
        assert shapes_of(sample) == dict(dataset.shapes())
        assert torch.equal(sample["real_a"], 255 - sample["real_b"])
    whole = PairedFolders(tmp_path, left=left, load_px=None, crop_px=20, flip=False)  # type: ignore[arg-type]
    assert torch.equal(draw(whole.train(), 0)["real_a"], half if left == "a" else 255 - half)


def test_two_folders_are_paired_by_name(tmp_path: Path, make_pictures: Make) -> None:
    (tmp_path / "trainA/x").mkdir(parents=True)
    make_pictures("trainA", ["1.png", "x/2.png"])
    (tmp_path / "trainB/x").mkdir(parents=True)
    make_pictures("trainB", ["x/2.bmp", "1.bmp"])
    make_pictures("testA", ["9.png"])
    make_pictures("testB", ["9.png"])
    dataset = PairedFolders(tmp_path, "two_folders", load_px=None, crop_px=16, flip=False, channels_a=1)
    dataset.prepare()
    train, validation = dataset.train(), dataset.validation()
    assert validation is not None
    assert (len(train), len(validation)) == (2, 1)
    assert shapes_of(draw(validation, 0)) == dict(dataset.shapes()) == {"real_a": (1, 16, 16), "real_b": (3, 16, 16)}
    expected = images.resize(images.read_image(tmp_path / "trainB/x/2.bmp"), 16, 16)
    assert torch.equal(draw(train, 1)["real_b"], expected)
    make_pictures("trainB", ["3.png"])
    with pytest.raises(EnvironmentFault, match=r"trainB/3\.png has no partner of the same name .* with 1 in all"):
        dataset.prepare()


def test_a_grey_half_is_luma(tmp_path: Path, make_pictures: Make) -> None:
    make_pictures("train", ["1.png"], (16, 32))
    dataset = PairedFolders(tmp_path, load_px=None, crop_px=16, channels_b=1)
    assert shapes_of(draw(dataset.train(), 0)) == dict(dataset.shapes())


def test_val_is_preferred_to_test(tmp_path: Path, make_pictures: Make) -> None:
    for folder, count in (("train", 1), ("val", 2), ("test", 3)):
        make_pictures(folder, [f"{i}.png" for i in range(count)])
    validation = PairedFolders(tmp_path).validation()
    assert validation is not None
    assert len(validation) == 2


def test_an_image_folder_keeps_proportions(tmp_path: Path) -> None:
    wide = torch.zeros(3, 10, 30, dtype=torch.uint8)
    wide[:, :, 10:20] = torch.randint(0, 256, (3, 10, 10), dtype=torch.uint8)
    (tmp_path / "deep").mkdir()
    images.write_image(tmp_path / "deep/1.png", wide)
    dataset = ImageFolder(tmp_path, crop_px=10, flip=False)
    dataset.prepare()
    assert torch.equal(draw(dataset.train(), 0)["real"], wide[:, :, 10:20])
    assert dict(dataset.shapes()) == {"real": (3, 10, 10)}
    assert dataset.validation() is None


def cached_and_not(root: Path) -> list[tuple[Samples, Samples]]:
    made = []
    for kind, extra in ((UnpairedFolders, {}), (PairedFolders, {"layout": "two_folders"}), (ImageFolder, {})):
        plain, held = (kind(root, load_px=14, crop_px=12, cache=cache, **extra) for cache in ("none", "memory"))  # type: ignore[operator]
        made.append((plain.train(), held.train()))
    return made


def test_cached_samples_are_bit_identical(tmp_path: Path, make_pictures: Make) -> None:
    for folder in ("trainA", "trainB"):
        make_pictures(folder, ["1.png", "2.png", "3.png"])
    for plain, held in cached_and_not(tmp_path):
        for index in range(len(plain)):
            assert equal(draw(held, index, seed=index), draw(plain, index, seed=index))
    for path in images.list_images(tmp_path):
        path.unlink()
    draw(held, 0)  # no file is read any more


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_see_the_cache(unpaired: Path, method: str) -> None:
    held = UnpairedFolders(unpaired, load_px=14, crop_px=12, cache="memory").train()
    for path in images.list_images(unpaired):
        path.unlink()
    loader = DataLoader(Indexed(held), batch_size=None, num_workers=1, multiprocessing_context=method)
    for index, real_a in enumerate(loader):
        assert torch.equal(real_a, draw(held, index, seed=index)["real_a"])


def test_a_cache_that_does_not_fit_warns_and_reads(
    unpaired: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:  2 kB\n")
    monkeypatch.setattr(caching, "_MEMINFO", meminfo)
    plain = UnpairedFolders(unpaired, load_px=14, crop_px=12).train()
    with pytest.warns(UserWarning, match="cache: memory.*for [35] pictures.*reading them from their files"):
        train = UnpairedFolders(unpaired, load_px=14, crop_px=12, cache="memory").train()
    assert equal(draw(train, 1), draw(plain, 1))
    monkeypatch.setattr(caching, "_MEMINFO", tmp_path / "not Linux")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        UnpairedFolders(unpaired, load_px=14, crop_px=12, cache="memory").train()


def test_a_device_cache_keeps_pictures_where_they_are_used(unpaired: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device that holds no values stands for a GPU here: it tells where a sample was made."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("meta"))
    train = UnpairedFolders(unpaired, load_px=14, crop_px=12, cache="device").train()
    sample = train.sample(0, random.Random(0))
    assert {tensor.device.type for tensor in sample.values()} == {"meta"}
    assert not train.in_workers
    with pytest.raises(UsageError, match=r"data\.workers=0"):
        Loader(train, Division(1), 2, 0, Precision("fp32", torch.device("cpu")))


def test_a_device_cache_without_a_gpu_is_a_memory_cache(unpaired: Path) -> None:
    train = UnpairedFolders(unpaired, load_px=14, crop_px=12, cache="device").train()
    assert train.in_workers == (torch.accelerator.current_accelerator(check_available=True) is None)


def test_a_broken_picture_is_named_when_it_is_cached(unpaired: Path) -> None:
    (unpaired / "trainA/2.png").write_bytes(b"no picture")
    with pytest.raises(EnvironmentFault, match=r"trainA/2\.png"):
        UnpairedFolders(unpaired, cache="memory").train()


@pytest.mark.skipif(not (SHARED / "horse2zebra").exists(), reason="the horse2zebra data are not on this machine")
def test_horse2zebra_is_whole() -> None:
    dataset = UnpairedFolders(SHARED / "horse2zebra", download="horse2zebra")
    dataset.prepare()  # downloads nothing: it is there
    counts = [len(images.list_images(SHARED / "horse2zebra" / name)) for name in ("trainA", "trainB", "testA", "testB")]
    assert counts == [1067, 1334, 120, 140]
    train, validation = dataset.train(), dataset.validation()
    assert validation is not None
    assert (len(train), len(validation)) == (1334, 140)
    assert shapes_of(draw(train, 1333)) == dict(dataset.shapes()) == {"real_a": (3, 256, 256), "real_b": (3, 256, 256)}
    # The manifest's six columns: path, bytes, hash, width, height, mode.
    rows = [line.split("\t") for line in (SHARED / "horse2zebra/MANIFEST.tsv").read_text().splitlines()[1:]]
    grey = [row[0] for row in rows if row[5] == "L"]
    assert len(grey) == 7
    for name in grey:
        red, green, blue = images.read_image(SHARED / "horse2zebra" / name)
        assert torch.equal(red, green)
        assert torch.equal(green, blue)


@pytest.mark.skipif(not (SHARED / "facades").exists(), reason="the facades data are not on this machine")
def test_facades_are_photo_and_labels() -> None:
    dataset = PairedFolders(SHARED / "facades", left="b")
    dataset.prepare()
    train, validation = dataset.train(), dataset.validation()
    assert validation is not None
    assert (len(train), len(validation)) == (60, 30)
    labels, photo = (images.to_float(picture) for picture in draw(validation, 0).values())
    # Labels are flat: most neighbours are equal, but for JPEG's noise.
    assert (labels.diff(dim=-1).abs() < 0.05).float().mean() > 0.7 > (photo.diff(dim=-1).abs() < 0.05).float().mean()


def test_folders_of_classes_are_numbered_and_counted(class_folders: Path) -> None:
    (class_folders / ".cache").mkdir(exist_ok=True)  # such as a notebook leaves: no class
    data = ClassFolders(class_folders, classes=3, crop_px=16)
    data.prepare()
    samples = data.train()
    labels = [int(samples.sample(index, random.Random(0))["label"]) for index in range(len(samples))]
    assert labels == [0] * 3 + [1] * 4 + [2] * 3
    with pytest.raises(EnvironmentFault) as raised:
        ClassFolders(class_folders, classes=4).prepare()
    assert str(raised.value) == (
        f"{class_folders} should have 4 folders, one a class, and has 3: ant, bee, cat\n"
        f"  correct `root` (now {class_folders.resolve()}) or `classes`"
    )


def test_datasets_name_the_files_that_samples_are_read_from(
    unpaired: Path, make_pictures: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (unpaired / "notes.txt").write_text("not read")
    for folder in ("pairs/train", "pairs/test", "pairs/other", "twos/trainA", "twos/trainB", "twos/valA", "twos/valB"):
        make_pictures(folder, ["0.png", "1.png"])
    for folder in ("classes/ant", "classes/bee", "classes/bee/deep"):
        make_pictures(folder, ["0.png"])
    datasets = [
        UnpairedFolders(unpaired, load_px=14, crop_px=12),
        PairedFolders(tmp_path / "pairs", load_px=14, crop_px=12),
        PairedFolders(tmp_path / "twos", layout="two_folders", load_px=14, crop_px=12),
        ClassFolders(tmp_path / "classes", classes=2, crop_px=12),
        ImageFolder(tmp_path / "pairs/train", crop_px=12),
    ]
    for dataset in datasets:
        read: set[Path] = set()
        original = storage.read_with

        def reading(path: Path, *more: Any, seen: set[Path] = read, original: Callable = original) -> Tensor:
            seen.add(path)
            return original(path, *more)

        monkeypatch.setattr(storage, "read_with", reading)
        for samples in (dataset.train(), dataset.validation()):
            for index in range(len(samples) if samples else 0):
                for seed in range(12):  # partners are drawn at random
                    samples.sample(index, random.Random(seed))
        monkeypatch.undo()
        assert sorted(dataset.files()) == sorted(read)


def test_folders_that_are_not_there_have_no_files(tmp_path: Path) -> None:
    for dataset in (UnpairedFolders(tmp_path), PairedFolders(tmp_path), ImageFolder(tmp_path / "none")):
        with pytest.raises(EnvironmentFault):
            dataset.files()
