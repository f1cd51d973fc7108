"""Folders are read one way by training, `data inspect` and `data pack`; what is left out is told."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ganforge import EnvironmentFault, UsageError
from ganforge.builtin.datasets import ClassFolders, ImageFolder, PairedFolders, UnpairedFolders
from ganforge.builtin.datasets.inspection import inspect
from ganforge.builtin.datasets.layout.reading import find_layout, read_layout
from ganforge.images.listing import nearest_folder, scan

Make = Callable[..., None]


@pytest.fixture
def split_classes(make_pictures: Make, tmp_path: Path) -> Path:
    for folder, count in (("train/happy", 3), ("train/sad", 2), ("test/happy", 1), ("test/sad", 2)):
        make_pictures(f"faces/{folder}", [f"{i}.png" for i in range(count)])
    return tmp_path / "faces"


def labels(samples: object) -> list[int]:
    return [int(samples.sample(index, random.Random(0))["label"]) for index in range(len(samples))]  # type: ignore


def train(repository: Path, root: Path, *more: str) -> tuple[str, ...]:
    recipe = repository / "recipes/tiny/stargan_folders.yaml"
    classes = ("data.classes=2", "networks.G.classes=2", "networks.D.classes=2", "ops.vector.classes=2")
    images = ("run.images=[real, to_0, to_1]", "signals.to_2=null")
    return ("run", str(recipe), f"data.root={root}", *classes, *images, "run.steps=1", "data.batch_size=2", *more)


def test_classes_are_learnt_from_train_and_validated_on_test(
    split_classes: Path, in_tmp: Path, repository: Path, ganforge: Callable
) -> None:
    (split_classes / "train/notes.txt").write_text("no picture")
    (split_classes / ".DS_Store").write_text("")
    done = ganforge(*train(repository, split_classes))
    assert done.code == 0, done.err
    told = "2 classes (happy, sad) from train; validates on test; left out: 1 hidden file or folder, "
    assert told + "1 file of another type (.txt)" in done.out
    report = json.loads(ganforge("data", "inspect", split_classes, "--json").out)
    assert (report["layout"], [f["name"] for f in report["folders"]]) == (
        "classes",
        ["train/happy", "train/sad", "test/happy", "test/sad"],
    )
    assert report["remarks"][0].startswith(told)


def test_the_labels_of_both_splits_are_those_of_training(split_classes: Path) -> None:
    shutil.rmtree(split_classes / "test/happy")
    data = ClassFolders(split_classes, classes=2, crop_px=16)
    data.prepare()
    assert labels(data.train()) == [0, 0, 0, 1, 1]
    assert labels(data.validation()) == [1, 1]
    assert "test has none of happy" in data.remarks()[0]


def test_a_class_that_training_has_not_is_refused(split_classes: Path) -> None:
    (split_classes / "test/sad").rename(split_classes / "test/sadd")
    with pytest.raises(EnvironmentFault, match=r"test/sadd is a class that training has not: happy, sad; did you mean"):
        ClassFolders(split_classes, classes=2).prepare()
    assert "unknown_class" in {finding.kind for finding in inspect(split_classes).findings}


@pytest.mark.parametrize("name", ["Train", "TRAIN", "training"])
def test_names_of_splits_in_other_spellings_are_splits(split_classes: Path, name: str) -> None:
    (split_classes / "train").rename(split_classes / name)
    (split_classes / "test").rename(split_classes / "Validation")
    data = ClassFolders(split_classes, classes=2, crop_px=16)
    assert (len(data.train()), labels(data.validation())) == (5, [0, 1, 1])


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train", "test"), "has pictures in test, train: the names of splits"),
        (("trainA", "trainB"), "has pictures in trainA, trainB: the names of splits"),
        (("cat", "dog", "test"), "has pictures in test: the names of splits"),
        (("val/cat", "test/cat"), "has folders of classes in test, val, but no train"),
        (("train/steam", "bus", "car"), "hold pictures, and pictures in bus, car: which are the classes?"),
        (("train/a", "val/a", "valid/a"), "has val and valid, which mean the same"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_with_the_cure(
    tmp_path: Path, make_pictures: Make, folders: tuple[str, ...], message: str
) -> None:
    for folder in folders:
        make_pictures(folder, ["1.png", "2.png"])
    with pytest.raises(EnvironmentFault, match=message) as raised:
        ClassFolders(tmp_path, classes=len(folders)).prepare()
    assert "\n  " in str(raised.value)


def test_a_class_may_be_called_train(tmp_path: Path, make_pictures: Make) -> None:
    for folder in ("bus", "car", "train"):
        make_pictures(folder, ["1.png"])
    assert ClassFolders(tmp_path, classes=3).folders.look().classes == ["bus", "car", "train"]


def test_a_folder_without_pictures_is_no_class(tmp_path: Path, make_pictures: Make) -> None:
    for folder in ("ant", "bee"):
        make_pictures(folder, ["1.png"])
    (tmp_path / "cat").mkdir()
    (tmp_path / "ant" / "deeper").mkdir()
    data = ClassFolders(tmp_path, classes=2)
    data.prepare()
    assert data.remarks() == ["left out: 2 empty folders"]
    with pytest.raises(EnvironmentFault, match="has 2: ant, bee; nothing lies in cat"):
        ClassFolders(tmp_path, classes=3).prepare()
    assert inspect(tmp_path).data.layout.classes == ["ant", "bee"]


def test_links_are_followed_and_loops_end(tmp_path: Path, make_pictures: Make) -> None:
    make_pictures("elsewhere/deep", ["1.JPG", "2.Png"])
    make_pictures("data/a", ["3.png"])
    (tmp_path / "data/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/a/linked").symlink_to(tmp_path / "elsewhere/deep")
    (tmp_path / "data/a/twice").symlink_to(tmp_path / "elsewhere/deep")
    (tmp_path / "data/a/up").symlink_to(tmp_path / "data")
    (tmp_path / "data/a/4.png").symlink_to(tmp_path / "data/a/3.png")
    data = ClassFolders(tmp_path / "data", classes=2)
    data.prepare()
    names = [path.relative_to(tmp_path / "data").as_posix() for path in data.files()]
    assert names == ["a/3.png", "a/4.png", "a/linked/1.JPG", "a/linked/2.Png", "b/deep/1.JPG", "b/deep/2.Png"]
    assert data.remarks() == ["left out: 2 links to folders read already"]
    found = inspect(tmp_path / "data").data
    assert found.pictures == 6


def test_left_overs_of_other_systems_are_hidden(tmp_path: Path, make_pictures: Make) -> None:
    make_pictures("here", ["1.png"])
    make_pictures("here/__MACOSX", ["2.png"])
    for name in ("Thumbs.db", "desktop.ini", "._1.png"):
        (tmp_path / "here" / name).write_text("")
    assert [path.name for path in scan(tmp_path / "here").pictures] == ["1.png"]
    assert len(scan(tmp_path / "here").hidden) == 4


def test_val_validates_and_test_is_left_out(tmp_path: Path, make_pictures: Make) -> None:
    for folder, count in (("trainA", 2), ("trainB", 2), ("valA", 1), ("valB", 1), ("testA", 3), ("testB", 3), ("x", 4)):
        make_pictures(folder, [f"{i}.png" for i in range(count)])
    data = UnpairedFolders(tmp_path)
    data.prepare()
    validation = data.validation()
    assert validation is not None
    assert len(validation) == 1
    left = "left out: testA (3 pictures), testB (3 pictures), x (4 pictures)"
    assert data.remarks() == [f"validates on valA and valB; {left}"]
    assert len(data.files()) == 6


def test_an_image_folder_does_not_learn_the_test(tmp_path: Path, make_pictures: Make) -> None:
    for folder, count in (("train", 3), ("test", 2)):
        make_pictures(folder, [f"{i}.png" for i in range(count)])
    data = ImageFolder(tmp_path, crop_px=16)
    data.prepare()
    validation = data.validation()
    assert validation is not None
    assert (len(data.train()), len(validation)) == (3, 2)
    assert data.remarks() == ["learns from train; validates on test"]
    (tmp_path / "train").rename(tmp_path / "mine")
    with pytest.raises(EnvironmentFault, match="has pictures in test, which look kept for testing"):
        ImageFolder(tmp_path).prepare()


def test_two_layouts_are_told_apart_only_when_asked(tmp_path: Path, make_pictures: Make, ganforge: Callable) -> None:
    for folder in ("train", "trainA", "trainB"):
        make_pictures(folder, ["1.png"])
    with pytest.raises(UsageError, match="two domains, or pairs side by side"):
        find_layout(tmp_path)
    assert ganforge("data", "inspect", tmp_path).code == 2
    done = ganforge("data", "inspect", tmp_path, "--layout", "pairs")
    assert done.code == 0
    assert "left out: trainA (1 picture), trainB (1 picture)" in done.out


def test_inspecting_a_recipe_reads_what_its_dataset_reads(
    tmp_path: Path, make_pictures: Make, ganforge: Callable, repository: Path
) -> None:
    for folder, names in (("trainA", ["1.png", "2.png"]), ("trainB", ["1.png", "3.png"])):
        make_pictures(folder, names)
    recipe = repository / "recipes/tiny/pix2pix_facades.yaml"
    done = ganforge("data", "inspect", recipe, f"data.root={tmp_path}", "data.layout=two_folders", "--json")
    report = json.loads(done.out)
    assert report["layout"] == "two_folders"
    [lonely] = [finding for finding in report["findings"] if finding["kind"] == "no_partner"]
    assert [case["files"] for case in lonely["cases"]] == [["trainA/2.png"], ["trainB/3.png"]]
    with pytest.raises(EnvironmentFault, match="so it is with 2 in all"):
        PairedFolders(tmp_path, "two_folders").prepare()


def test_a_missing_folder_is_found_under_another_name(tmp_path: Path, make_pictures: Make) -> None:
    make_pictures("data/train_A", ["1.png"])
    make_pictures("data/trainB", ["1.png"])
    with pytest.raises(EnvironmentFault, match=r"trainA: no such folder.*is it 'train_A'"):
        UnpairedFolders(tmp_path / "data").prepare()
    with pytest.raises(EnvironmentFault, match=r"did you mean '.*/data'"):
        ImageFolder(tmp_path / "date").prepare()
    assert nearest_folder(tmp_path / "dat" / "trianB") == tmp_path / "data/trainB"


def test_a_folder_that_cannot_be_read_is_no_empty_one(
    tmp_path: Path, make_pictures: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pictures("data/closed", ["1.png"])
    make_pictures("data", ["2.png"])
    import os

    opened = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(EnvironmentFault, match=r"cannot read the folder .*closed: Permission denied"):
        read_layout(tmp_path / "data", "one_folder")


def test_a_pack_has_what_training_reads(tmp_path: Path, make_pictures: Make, ganforge: Callable) -> None:
    for folder in ("trainA", "trainB", "validA", "validB"):
        make_pictures(f"data/{folder}", ["1.png", "2.png"])
    make_pictures("elsewhere", ["3.png"])
    (tmp_path / "data/trainA/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/trainB/notes.txt").write_text("")
    done = ganforge("data", "pack", tmp_path / "data", "-o", tmp_path / "packed")
    assert done.code == 0, done.err
    assert "left out: 1 file of another type (.txt)" in done.out
    assert "trainA: 3 samples" in done.out
    assert "valB: 2 samples" in done.out
