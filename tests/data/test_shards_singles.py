"""Single pictures, and those of classes, from shards: the samples of the folders."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sharded import pack_small

from ganforge import EnvironmentFault, images
from ganforge.builtin.datasets import ClassFolders, ClassShards, ImageFolder, ImageShards, PairedShards
from ganforge.images import Storage


@pytest.fixture
def classes(make_pictures: Callable[..., None], tmp_path: Path) -> Path:
    for split, count in (("train", 12), ("val", 2)):
        for name in ("ant", "bee", "cat"):
            make_pictures(f"folders/{split}/{name}", [f"{number}.png" for number in range(count)])
    return tmp_path / "folders"


def test_classes_are_those_of_the_folders(classes: Path, tmp_path: Path) -> None:
    index = pack_small(classes, tmp_path / "packed", "classes")
    assert (index.classes, index.members, set(index.splits)) == (("ant", "bee", "cat"), 2, {"train", "val"})
    assert len(index.splits["train"]) > 1
    packed = ClassShards(str(tmp_path / "packed"), 3, 14, 12, flip=False)
    folders = ClassFolders(classes, 3, 14, 12, flip=False)
    packed.prepare()
    assert (packed.shapes(), packed.dtypes(), packed.ranges()) == (folders.shapes(), folders.dtypes(), folders.ranges())
    ours, theirs = packed.validation(), folders.validation()
    assert ours is not None
    assert theirs is not None
    assert len(ours) == len(theirs) == 6
    rng = random.Random(0)
    for number in range(6):
        one, other = ours.sample(number, rng), theirs.sample(number, rng)
        assert torch.equal(one["real"], other["real"])
        assert torch.equal(one["label"], other["label"])
    samples = packed.train()
    order = samples.order(random.Random(3))
    assert order is not None
    assert Counter(order) == Counter(range(36))
    assert Counter(int(samples.sample(number, rng)["label"]) for number in order) == {0: 12, 1: 12, 2: 12}
    batch = samples.batch(list(order[:4]), [random.Random(seed) for seed in range(4)])
    assert [int(samples.sample(number, rng)["label"]) for number in order[:4]] == batch["label"].tolist()


def test_pictures_of_any_kind_are_packed(tmp_path: Path) -> None:
    (tmp_path / "bands").mkdir()
    for number in range(5):
        deep = torch.full((5, 20, 24), number * 1000).to(torch.int32).to(torch.uint16)
        images.write_image(tmp_path / f"bands/{number}.tif", deep)
    index = pack_small(tmp_path / "bands", tmp_path / "packed", "one_folder")
    assert index.samples("train") == 5
    assert "classes" not in json.loads((tmp_path / "packed/index.json").read_text())  # as older readers want it
    options = {"crop_px": (8, 12), "channels": 5, "depth": 16, "fit": "none"}
    packed, folder = ImageShards(str(tmp_path / "packed"), **options), ImageFolder(tmp_path / "bands", **options)  # type: ignore[arg-type]
    packed.prepare()
    assert packed.storage() == folder.storage() == {"real": Storage(5, 16)}
    values = {int(packed.train().sample(number, random.Random(0))["real"].int().unique()) for number in range(5)}
    assert values == {0, 1000, 2000, 3000, 4000}
    assert packed.train().sample(0, random.Random(0))["real"].shape == (5, 8, 12)
    assert packed.validation() is None


def test_other_packs_are_refused(classes: Path, tmp_path: Path) -> None:
    pack_small(classes, tmp_path / "packed", "classes")
    with pytest.raises(EnvironmentFault, match="hold pictures with a class each; `type: class_shards` reads them"):
        ImageShards(str(tmp_path / "packed"), crop_px=12).prepare()
    with pytest.raises(EnvironmentFault, match="`type: class_shards` reads them"):
        PairedShards(str(tmp_path / "packed"), crop_px=12).prepare()
    with pytest.raises(EnvironmentFault, match="these shards hold 3 classes"):
        ClassShards(str(tmp_path / "packed"), 4, crop_px=12).prepare()


def test_the_command_packs_and_names_the_type(classes: Path, in_tmp: Path, ganforge: Callable) -> None:
    done = ganforge("data", "pack", classes, "-o", "packed", "--layout", "classes")
    assert done.code == 0, done.err
    assert "train: 36 samples" in done.out
    assert "packed: data.type=class_shards data.root=packed" in done.out
    assert ganforge("data", "verify", "packed").code == 0
