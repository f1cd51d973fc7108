"""Samples of several named fields, from folders and tables: matched, aligned, and what is missing told at once."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ganforge import BadFile, EnvironmentFault, images
from ganforge.builtin.datasets import MultiFolders
from ganforge.builtin.datasets.fields import FieldSource
from ganforge.builtin.datasets.tables import read_table


def coordinates(height: int = 20, width: int = 30) -> Tensor:
    """Where a pixel lies is what it holds."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((rows * 8, columns * 8, rows)).to(torch.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three samples of a photo, a depth of 16 bits and a mask, and styles that belong to none."""
    for folder in ("photos", "depths", "masks", "styles"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b", "c"):
        there = coordinates()
        images.write_image(tmp_path / f"photos/{name}.png", there)
        images.write_image(tmp_path / f"depths/{name}.tif", there[1:2].to(torch.int32).mul(257).to(torch.uint16))
        images.write_image(tmp_path / f"masks/{name}.png", ((there[:1] > 80) * 255).to(torch.uint8))
    for number in range(5):
        images.write_image(tmp_path / f"styles/{number}.png", torch.full((3, 20, 30), number, dtype=torch.uint8))
    return tmp_path


FIELDS = {
    "photo": FieldSource(folder="photos"),
    "depth": FieldSource(folder="depths", channels=1, depth=16),
    "mask": FieldSource(folder="masks", kind="mask"),
    "style": FieldSource(folder="styles", independent=True),
}


@pytest.mark.parametrize("cache", ["none", "memory"])
@pytest.mark.parametrize("fit", ["squeeze", "none"])
def test_fields_of_a_sample_are_cut_alike(root: Path, fit: Any, cache: Any) -> None:
    dataset = MultiFolders(
        FIELDS, root, load_px=None if fit == "none" else (20, 30), crop_px=(8, 12), fit=fit, cache=cache
    )
    dataset.prepare()
    assert dataset.shapes() == {"photo": (3, 8, 12), "depth": (1, 8, 12), "mask": (1, 8, 12), "style": (3, 8, 12)}
    samples = dataset.train()
    styles = set()
    places = set()
    for seed in range(40):
        sample = samples.sample(seed % 3, random.Random(seed))
        assert list(sample) == list(FIELDS)
        assert torch.equal(sample["depth"].to(torch.int32), sample["photo"][1:2].to(torch.int32) * 257)
        assert torch.equal(sample["mask"], (sample["photo"][:1] > 80).float())
        styles.add(int(sample["style"].unique()))
        places.add(tuple(sample["photo"][:, 0, 0].tolist()))
    assert styles == set(range(5))
    assert len(places) > 20
    assert dataset.validation() is None


def test_splits_are_folders_or_a_column(root: Path) -> None:
    for split in ("train", "val"):
        (root / split).mkdir()
        (root / "photos").rename(root / split / "photos") if split == "train" else (root / "val/photos").mkdir()
    (root / "train/photos/c.png").rename(root / "val/photos/c.png")
    dataset = MultiFolders({"photo": FieldSource(folder="{split}/photos")}, root, crop_px=8)
    validation = dataset.validation()
    assert validation is not None
    assert (len(dataset.train()), len(validation)) == (2, 1)
    (root / "t.csv").write_text(
        "file,split\ntrain/photos/a.png,train\ntrain/photos/b.png,train\nval/photos/c.png,test\n"
    )
    dataset = MultiFolders({"photo": FieldSource(column="file")}, root, Path("t.csv"), crop_px=8)
    validation = dataset.validation()
    assert validation is not None
    assert (len(dataset.train()), len(validation)) == (2, 1)


ROWS: list[dict[str, Any]] = [
    {"file": "photos/a.png", "kind": "cat", "age": 3.5, "weight": 2},
    {"file": "photos/c.png", "kind": "dog", "age": 1, "weight": 4},
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_tables_give_files_classes_and_numbers(root: Path, suffix: str) -> None:
    table = root / f"t{suffix}"
    match suffix:
        case ".csv" | ".tsv":
            mark = "," if suffix == ".csv" else "\t"
            lines = [mark.join(ROWS[0]), *(mark.join(map(str, row.values())) for row in ROWS)]
            table.write_text("\n".join(lines))
        case ".jsonl":
            table.write_text("\n".join(map(json.dumps, ROWS)))
        case _:
            pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
            pq.write_table(pa.Table.from_pylist(ROWS), table)
    fields = {
        "photo": FieldSource(column="file"),
        "mask": FieldSource(folder="masks", kind="mask"),
        "kind": FieldSource(column="kind", kind="class", classes=("cat", "dog")),
        "numbers": FieldSource(column=("age", "weight"), kind="number"),
        "age": FieldSource(column="age", kind="number"),
    }
    dataset = MultiFolders(fields, root, Path(table.name), crop_px=(20, 30), flip=False)
    dataset.prepare()
    samples = dataset.train()
    assert len(samples) == 2
    batch = samples.batch([0, 1], [random.Random(0), random.Random(1)])
    assert batch["kind"].tolist() == [0, 1]
    assert batch["numbers"].tolist() == [[3.5, 2], [1, 4]]
    assert batch["age"].tolist() == [3.5, 1]
    assert torch.equal(batch["mask"], (batch["photo"][:, :1] > 80).float())
    assert dataset.ranges() == {"kind": range(2)}
    assert {name: tuple(value.shape[1:]) for name, value in batch.items()} == dataset.shapes()


def test_stylegans_labels_are_a_table(root: Path) -> None:
    (root / "photos/dataset.json").write_text(json.dumps({"labels": [["a.png", 2], ["b.png", 0]]}))
    fields = {
        "real": FieldSource(column="file"),
        "label": FieldSource(column="label", kind="class", classes=3),
    }
    samples = MultiFolders(fields, root / "photos", Path("dataset.json"), crop_px=8).train()
    assert [int(samples.sample(index, random.Random(0))["label"]) for index in range(2)] == [2, 0]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.csv", "file,kind\na.png,cat,3\n", "line 2 has other columns"),
        ("t.csv", "file,kind\n", "has no rows"),
        ("t.jsonl", "{}\n[]\n", "each line should be an object"),
        ("t.json", '{"labels": null}', "labels are null"),
        ("t.xlsx", "", "no table that is read"),
        ("t.parquet", "no", "cannot read the table"),
        ("none.csv", None, "No such file"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, name: str, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(EnvironmentFault, match=reason):
        read_table(tmp_path / name)


def test_all_that_is_missing_is_told_at_once(root: Path) -> None:
    (root / "depths/b.tif").unlink()
    (root / "masks/c.png").rename(root / "masks/d.png")
    with pytest.raises(EnvironmentFault) as raised:
        MultiFolders(FIELDS, root, crop_px=8).prepare()
    told = str(raised.value)
    assert "3 files have no partner" in told
    for line in ("depth has none for 'b'", "mask has none for 'c'", "masks/d.png: 'photo' has none"):
        assert line in told
    (root / "t.csv").write_text("file\nphotos/a.png\nphotos/x.png\nphotos/y.png\n")
    with pytest.raises(EnvironmentFault, match=r"2 files of .*t.csv are missing:\n.*x.png \(photo\)\n.*y.png"):
        MultiFolders({"photo": FieldSource(column="file")}, root, Path("t.csv"), crop_px=8).prepare()


@pytest.mark.parametrize(
    ("source", "content", "reason"),
    [
        (FieldSource(column="k", kind="class", classes=("a", "b")), "a\nc\n", "row 2: 'c' is none of the classes a, b"),
        (FieldSource(column="k", kind="class", classes=2), "0\n2\n", "row 2: 2 is no class of 2"),
        (FieldSource(column="k", kind="number"), "1\nnan\n", "row 2: nan is no number"),
        (FieldSource(column="k", kind="number"), "1\nx\n", "row 2: could not convert"),
        (FieldSource(column="z", kind="number"), "1\n2\n", "has no column 'z'"),
    ],
)
def test_values_that_do_not_fit_are_told_with_their_rows(
    root: Path, source: FieldSource, content: str, reason: str
) -> None:
    lines = zip(("file,k", "photos/a.png", "photos/b.png"), ("", *content.split()), strict=True)
    (root / "t.csv").write_text("\n".join(f"{a},{b}" if b else a for a, b in lines))
    dataset = MultiFolders({"photo": FieldSource(column="file"), "v": source}, root, Path("t.csv"), crop_px=8)
    with pytest.raises(EnvironmentFault, match=reason):
        dataset.prepare()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"folder": "a", "column": "b"}, "either a `folder`"),
        ({"folder": "a", "kind": "class", "classes": 2}, "read from a `column`"),
        ({"column": "a", "kind": "class"}, "`classes` are those"),
        ({"column": "a", "independent": True}, "have a folder of their own"),
    ],
)
def test_fields_that_make_no_sense_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        FieldSource(**options)


def test_a_mask_of_another_size_is_told(root: Path) -> None:
    images.write_image(root / "masks/b.png", torch.zeros(1, 20, 31, dtype=torch.uint8))
    dataset = MultiFolders(FIELDS, root, crop_px=8, fit="none")
    with pytest.raises(BadFile, match=r"sample b are of different sizes: photo 30x20, depth 30x20, mask 31x20"):
        dataset.train().sample(1, random.Random(0))
    with pytest.raises(BadFile, match=r"photos/b.png 30x20, .*depths/b.tif 30x20, .*masks/b.png 31x20"):
        dataset.prepare()


def test_a_recipe_says_where_fields_are_wrong(in_tmp: Path, ganforge: Callable) -> None:
    (in_tmp / "r.yaml").write_text(
        "extends: pix2pix_facades\ndata: {type: multi_folders, root: null, download: null, left: null, load_px: null,\n"
        "  fields: {real_a: {folder: a, kind: photo}, real_b: {folder: b}}}\n"
    )
    done = ganforge("check", "r.yaml")
    assert done.code == 2
    assert "r.yaml:3" in done.err


def test_masks_may_be_stored_as_zero_and_one(root: Path) -> None:
    for path in (root / "masks").iterdir():
        images.write_image(path, (images.read_image(path, 1) > 127).to(torch.uint8))
    sample = MultiFolders(FIELDS, root, crop_px=(20, 30), flip=False).train().sample(0, random.Random(0))
    assert torch.equal(sample["mask"], (sample["photo"][:1] > 80).float())
    assert sample["mask"].unique().tolist() == [0, 1]


def test_a_table_and_folders_are_read_once_and_anew_by_prepare(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "t.csv").write_text("file,split\nphotos/a.png,train\nphotos/b.png,val\n")
    read: list[str] = []
    from ganforge.builtin.datasets import catalogue

    for name in ("read_table", "list_images"):
        original = getattr(catalogue, name)
        monkeypatch.setattr(catalogue, name, lambda path, n=name, f=original: (read.append(n), f(path))[1])
    fields = {"photo": FieldSource(column="file"), "mask": FieldSource(folder="masks", kind="mask")}
    dataset = MultiFolders(fields, root, Path("t.csv"), crop_px=8)
    dataset.prepare()
    assert (len(dataset.train()), len(dataset.validation() or ()), len(dataset.files())) == (1, 1, 5)
    assert read == ["read_table", "list_images", "list_images"]  # a folder for each split
    (root / "t.csv").write_text("file\nphotos/a.png\nphotos/b.png\n")
    dataset.prepare()
    assert (len(dataset.train()), dataset.validation()) == (2, None)
