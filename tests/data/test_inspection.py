"""`ganforge data inspect`: each fault is found, and nothing else."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganforge import UsageError
from ganforge.builtin.datasets.inspection import Finding, Report, inspect
from ganforge.images.late_torchvision import decoders

SHARED = Path(__file__).resolve().parents[2] / "../shared/datasets"
SIDE = 64


class Artist:
    """Draws pictures that do not look alike, each a smooth pattern of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, low: int = 0, high: int = 256, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
        patches = self.rng.integers(low, high, (8, 8, 3)).astype(np.uint8)
        return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)


def two_domains(root: Path, draw: Artist, count: int = 4, **of_b: Any) -> Path:
    for folder in ("trainA", "trainB", "testA", "testB"):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            draw(**(of_b if folder.endswith("B") else {})).save(root / folder / f"{index}.jpg", quality=95)
    return root


def found(report: Report) -> dict[str, Finding]:
    by_kind = {finding.kind: finding for finding in report.findings}
    assert len(by_kind) == len(report.findings)
    return by_kind


def files_of(finding: Finding) -> set[tuple[str, ...]]:
    return {case.files for case in finding.cases}


def details(finding: Finding) -> dict[str, str]:
    return {case.files[0]: case.detail for case in finding.cases}


@pytest.fixture
def draw() -> Artist:
    return Artist()


@pytest.fixture
def data(tmp_path: Path, draw: Artist) -> Path:
    return two_domains(tmp_path / "data", draw)


def inspected(root: Path) -> dict[str, Finding]:
    return found(inspect(root, crop_px=SIDE))


def test_sound_data_have_no_findings(data: Path) -> None:
    report = inspect(data, crop_px=SIDE)
    assert report.findings == ()
    assert [summary.folder.name for summary in report.data.summaries] == ["trainA", "trainB", "testA", "testB"]
    assert all(len(summary.readable) == 4 for summary in report.data.summaries)


def test_files_that_cannot_be_read_are_told_with_the_reason(data: Path, draw: Artist) -> None:
    folder = data / "trainA"
    whole = (folder / "0.jpg").read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    draw().save(folder / "avif.jpg", format="AVIF")
    draw().save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:2000])
    finding = inspected(data)["unreadable"]
    told = {Path(name).name: why for name, why in details(finding).items()}
    assert (finding.severity, finding.count) == ("error", 5)
    assert told["empty.jpg"] == "the file is empty"
    assert told["text.jpg"] == "it is no picture"
    assert told["avif.jpg"] == "it is a picture in the format AVIF, which training does not read"
    assert "truncated" in told["cut.jpg"]
    assert "truncated" in told["cut.png"]


def test_a_png_with_a_flipped_bit_is_told_and_does_not_end_the_process(data: Path, draw: Artist) -> None:
    path = data / "trainA/flipped.png"
    draw().save(path)
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes(flipped)
    assert files_of(inspected(data)["unreadable"]) == {("trainA/flipped.png",)}


def test_a_png_without_its_end_is_damaged(data: Path, draw: Artist) -> None:
    path = data / "trainA/endless.png"
    draw().save(path)
    path.write_bytes(path.read_bytes()[:-12])
    assert files_of(inspected(data)["damaged"]) == {("trainA/endless.png",)}


@pytest.mark.skipif(decoders() is None, reason="this torchvision has no decoders, and Pillow's are silent")
def test_a_jpeg_that_decodes_though_half_of_it_is_gone_is_damaged(data: Path) -> None:
    whole = (data / "trainA/0.jpg").read_bytes()
    (data / "trainA/patched.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    finding = inspected(data)["damaged"]
    assert details(finding) == {"trainA/patched.jpg": "Corrupt JPEG data: premature end of data segment"}
    assert finding.severity == "warning"


def test_a_picture_of_too_many_pixels_is_not_decoded(data: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(data / "trainA/huge.png")
    assert "more than 178 million pixels" in details(inspected(data)["unreadable"])["trainA/huge.png"]


def test_modes_bits_and_conversions_are_told(data: Path, draw: Artist) -> None:
    folder = data / "trainA"
    draw().convert("L").save(folder / "grey.png")
    draw().convert("L").convert("RGB").save(folder / "stored.png")
    draw().convert("CMYK").save(folder / "cmyk.jpg")
    draw().save(folder / "animated.gif", save_all=True, append_images=[draw()])
    clear, opaque = draw().convert("RGBA"), draw().convert("RGBA")
    clear.putalpha(100)
    clear.save(folder / "clear.png")
    opaque.save(folder / "opaque.png")
    turned = Image.Exif()
    turned[0x112] = 6
    draw().save(folder / "turned.jpg", exif=turned)
    deep = np.asarray(draw().convert("L"), np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(deep // 16).save(folder / "dark.png")
    Image.fromarray(np.asarray(draw().convert("L"), np.float32)).save(folder / "float.tif")
    Image.new("RGB", (SIDE, SIDE), (9, 8, 7)).save(folder / "flat.png")
    draw().save(folder / "really_png.jpg", format="PNG")
    (folder / "left.heic").write_bytes(b"x")
    (folder / "README.md").write_text("no picture, and none is meant")

    kinds = inspected(data)
    expected = {
        "single_channel": {"grey.png", "deep.png", "dark.png"},
        "colourless": {"stored.png"},
        "cmyk": {"cmyk.jpg"},
        "animated": {"animated.gif"},
        "transparent": {"clear.png"},
        "rotated": {"turned.jpg"},
        "deep": {"deep.png"},
        "nearly_black": {"dark.png"},
        "unreadable": {"float.tif"},
        "blank": {"flat.png"},
        "misnamed": {"really_png.jpg"},
        "left_out": {"left.heic"},
    }
    told = {kind: {Path(files[0]).name for files in files_of(kinds[kind])} for kind in expected}
    assert told == expected
    assert kinds.keys() - expected.keys() <= {"alike", "format_gap", "colour_gap"}  # of A, which is a motley now


def test_bits_are_those_of_the_file(tmp_path: Path, draw: Artist) -> None:
    wide = np.asarray(draw(), np.uint16)[..., 0] * 257
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.fromarray(wide).save(tmp_path / "b.tif")
    draw().convert("1").save(tmp_path / "c.png")
    draw().convert("P").save(tmp_path / "d.png")
    draw().save(tmp_path / "e.jpg")
    [summary] = inspect(tmp_path, SIDE).data.summaries
    assert [picture.bits for picture in summary.pictures] == [16, 16, 1, 8, 8]


def test_copies_and_leaks_are_told_apart(data: Path, draw: Artist) -> None:
    original = (data / "trainA/0.jpg").read_bytes()
    (data / "trainA/copy.jpg").write_bytes(original)
    (data / "trainA/copy again.jpg").write_bytes(original)
    Image.open(data / "trainA/1.jpg").save(data / "trainA/encoded.png")
    (data / "testA/leak.jpg").write_bytes((data / "trainA/2.jpg").read_bytes())
    Image.open(data / "trainB/3.jpg").save(data / "testB/leak.png")
    (data / "trainB/both.jpg").write_bytes((data / "trainA/3.jpg").read_bytes())
    larger = Image.open(data / "trainB/1.jpg").resize((90, 80)).point(lambda value: 30 + value // 2)
    larger.save(data / "testB/alike.jpg", quality=70)
    Image.open(data / "trainB/0.jpg").convert("L").save(data / "trainB/grey.png")

    kinds = inspected(data)
    assert kinds["copies"].count == 2
    assert files_of(kinds["copies"]) == {("trainA/0.jpg", "trainA/copy again.jpg", "trainA/copy.jpg")}
    assert files_of(kinds["same_pixels"]) == {("trainA/1.jpg", "trainA/encoded.png")}
    assert kinds["leak"].severity == "error"
    assert {case.files: case.detail for case in kinds["leak"].cases} == {
        ("testA/leak.jpg", "trainA/2.jpg"): "",
        ("testB/leak.png", "trainB/3.jpg"): "same pixels, other bytes",
    }
    assert files_of(kinds["in_two_domains"]) == {("trainA/3.jpg", "trainB/both.jpg")}
    assert files_of(kinds["leak_alike"]) == {("testB/alike.jpg", "trainB/1.jpg")}
    assert files_of(kinds["alike"]) == {("trainB/0.jpg", "trainB/grey.png")}


def test_many_pictures_are_compared_in_blocks(tmp_path: Path, draw: Artist, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganforge.builtin.datasets.inspection.copies._BLOCK", 3)
    monkeypatch.setattr("ganforge.builtin.datasets.inspection.copies._SHOWN", 0)
    for index in range(11):
        draw().save(tmp_path / f"{index}.png")
    for source, name in ((2, "a.png"), (10, "b.png")):
        Image.open(tmp_path / f"{source}.png").point(lambda value: value // 2).save(tmp_path / name)
    assert files_of(inspected(tmp_path)["alike"]) == {("2.png", "a.png"), ("10.png", "b.png")}


def test_flat_pictures_look_like_nothing(tmp_path: Path) -> None:
    for level in range(0, 250, 50):
        Image.new("RGB", (SIDE, SIDE), (level, level, level)).save(tmp_path / f"{level}.png")
    assert inspected(tmp_path).keys() == {"blank"}


def test_what_is_smaller_than_a_sample_is_told(data: Path, draw: Artist) -> None:
    draw(size=(SIDE, SIDE - 4)).save(data / "trainA/small.jpg")
    assert details(inspected(data)["too_small"]) == {"trainA/small.jpg": "64x60"}
    assert "too_small" not in found(inspect(data, crop_px=60))


def test_a_gap_in_brightness_is_measured(tmp_path: Path, draw: Artist) -> None:
    data = two_domains(tmp_path / "data", draw, low=90, high=200)
    report = inspect(data, SIDE)
    luma = {
        domain: [np.asarray(Image.open(path).convert("RGB")) / 255 @ (0.299, 0.587, 0.114) for path in paths]
        for domain, paths in (("A", (data / "trainA").iterdir()), ("B", (data / "trainB").iterdir()))
    }
    a, b = (np.array([picture.mean() for picture in luma[domain]]) for domain in "AB")
    gap = next(gap for gap in report.gaps if gap.kind == "brightness")
    expected = (b.mean() - a.mean()) / np.sqrt((a.var() + b.var()) / 2)
    assert (gap.low, gap.high) == (("A", "B") if expected > 0 else ("B", "A"))
    assert gap.spreads == pytest.approx(abs(expected), rel=1e-6)
    brighter = two_domains(tmp_path / "brighter", draw, low=180)
    assert found(inspect(brighter, SIDE))["brightness_gap"].text.startswith("B is brighter than A")


def test_gaps_in_tint_size_format_and_colour_are_told(tmp_path: Path, draw: Artist) -> None:
    for folder in ("trainA", "trainB"):
        (tmp_path / folder).mkdir()
    for index in range(4):
        draw().convert("L").save(tmp_path / f"trainA/{index}.png")
        red, green, blue = draw(size=(2 * SIDE, 2 * SIDE)).split()
        tinted = Image.merge("RGB", (red.point(lambda value: 128 + value // 2), green, blue.point(lambda v: v // 2)))
        tinted.save(tmp_path / f"trainB/{index}.jpg")
    kinds = inspected(tmp_path)
    assert {"red_gap", "blue_gap", "size_gap", "format_gap", "colour_gap"} <= kinds.keys()
    assert "single_channel" not in kinds  # all of A: nothing is mixed


def test_proportions_are_told_by_what_becomes_of_them(data: Path, tmp_path: Path, draw: Artist) -> None:
    wide = draw(size=(2 * SIDE, SIDE))
    wide.save(data / "trainA/wide.png")
    assert "squeezed" in inspected(data)["no_squares"].text
    (tmp_path / "single").mkdir()
    wide.save(tmp_path / "single/wide.png")
    assert "centre squares" in inspected(tmp_path / "single")["no_squares"].text


def test_pairs_are_two_pictures_side_by_side(tmp_path: Path, draw: Artist) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for index in range(4):
            draw(size=(2 * SIDE, SIDE)).save(tmp_path / split / f"{index}.png")
    report = inspect(tmp_path, SIDE)
    assert (report.data.layout.kind, report.findings) == ("pairs", ())
    draw().save(tmp_path / "train/single.png")
    kinds = inspected(tmp_path)
    assert details(kinds["no_pair"]) == {"train/single.png": "64x64"}
    assert details(kinds["too_small"]) == {"train/single.png": "64x64"}


@pytest.mark.parametrize("split", ["", "train/"])
def test_folders_are_classes(split: str, tmp_path: Path, draw: Artist) -> None:
    for name in ("ant", "bee", ".cache"):
        (tmp_path / split / name).mkdir(parents=True)
        draw().save(tmp_path / split / name / "0.png")
    layout = inspect(tmp_path, SIDE).data.layout
    assert (layout.kind, [folder.name for folder in layout.folders]) == ("classes", [f"{split}ant", f"{split}bee"])


def test_missing_and_empty_folders_are_told(data: Path) -> None:
    for path in (data / "testB").iterdir():
        path.unlink()
    assert files_of(inspected(data)["empty_folder"]) == {("testB",)}
    (data / "testB").rmdir()
    (data / "trainB").rename(data / "other")
    assert inspected(data)["missing_folder"].text == "there is no trainB and no testB"
    for folder in ("testA", "trainA"):
        (data / folder).rename(data.parent / folder)
    (data / "other").rename(data / "trainB")
    (data.parent / "trainA").rename(data / "trainA")
    assert inspected(data).keys() == {"nothing_held_out"}


def test_no_folder_and_no_pictures_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent does not exist\n.*ganforge data ls"):
        inspect(tmp_path / "absent")
    (tmp_path / "trainA").mkdir()
    with pytest.raises(UsageError, match=r"there are no pictures in .*\n.*trainA and trainB"):
        inspect(tmp_path)


# The command.


def test_the_command_prints_a_table_and_findings(ganforge: Callable, data: Path) -> None:
    (data / "testA/leak.jpg").write_bytes((data / "trainA/2.jpg").read_bytes())
    outcome = ganforge("data", "inspect", data, "--crop", SIDE)
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out.startswith("data: 17 pictures, two domains\n")
    assert "trainA         4" in outcome.out
    assert "error    1 held-out picture in training as well" in outcome.out
    assert "         testA/leak.jpg = trainA/2.jpg\n         → take them out of training" in outcome.out
    assert outcome.out.endswith("1 error\n")


def test_names_cannot_command_the_terminal(ganforge: Callable, data: Path) -> None:
    os.rename(data / "trainA/0.jpg", os.fsencode(data / "trainA") + b"/\x1b[2J\xff.jpg")
    outcome = ganforge("data", "inspect", data, "--crop", SIDE + 1, "--all")
    assert outcome.code == 0
    assert "trainA/?[2J?.jpg (64x64)" in outcome.out


def test_examples_are_three_or_all(ganforge: Callable, data: Path) -> None:
    outcome = ganforge("data", "inspect", data, "--crop", SIDE + 1)
    assert "and 13 more: --all" in outcome.out
    every = ganforge("data", "inspect", data, "--crop", SIDE + 1, "--all").out
    assert all(f"{folder}/3.jpg (64x64)" in every for folder in ("trainA", "trainB", "testA", "testB"))


def test_json_holds_everything_and_nothing_else_is_printed(ganforge: Callable, data: Path) -> None:
    outcome = ganforge("data", "inspect", data, "--json")
    told = json.loads(outcome.out)
    assert told == json.loads(json.dumps(inspect(data).as_json()))
    assert told.keys() == {"root", "layout", "crop_px", "pictures", "remarks", "folders", "gaps", "findings"}
    assert (
        told["folders"][0].items()
        >= {
            "name": "trainA",
            "split": "train",
            "domain": "A",
            "pictures": 4,
            "unreadable": 0,
            "sizes": {"64x64": 4},
            "shorter_side_px": {"min": 64, "median": 64, "max": 64},
            "formats": {"JPEG": 4},
            "modes": {"RGB": 4},
            "bits": {"8": 4},
        }.items()
    )
    [small] = told["findings"]
    assert (small["kind"], small["severity"], small["count"], len(small["cases"])) == ("too_small", "warning", 16, 16)
    assert small["cases"][0] == {"files": ["trainA/0.jpg"], "detail": "64x64"}


def test_strict_tells_by_its_exit_code(ganforge: Callable, data: Path) -> None:
    assert ganforge("data", "inspect", data, "--strict", "--crop", SIDE).code == 0
    assert ganforge("data", "inspect", data, "--strict").code == 3  # all are too small


def test_a_recipe_names_its_data_and_its_crop(ganforge: Callable, repository: Path, data: Path) -> None:
    tiny = repository / "recipes/tiny/cyclegan_shapes.yaml"
    outcome = ganforge("data", "inspect", tiny)
    assert outcome.code == 2
    assert "have no folder to inspect; `ganforge data show" in outcome.err
    changes = (f"data.root={data}", "data.load_px=40", "data.crop_px=32")
    told = json.loads(
        ganforge("data", "inspect", repository / "recipes/cyclegan_horse2zebra.yaml", *changes, "--json").out
    )
    assert (told["crop_px"], told["pictures"], told["findings"]) == (32, 16, [])
    outcome = ganforge("data", "inspect", data, "data.crop_px=32")
    assert outcome.code == 2
    assert "data.crop_px=32 changes a recipe" in outcome.err


def test_what_is_neither_folder_nor_recipe_is_told_with_the_cure(ganforge: Callable, in_tmp: Path) -> None:
    outcome = ganforge("data", "inspect", "absent")
    assert outcome.code == 2
    assert "there is no folder and no recipe 'absent'" in outcome.err
    assert "ganforge data download" in outcome.err


def test_horse2zebra_is_as_it_is_known(ganforge: Callable) -> None:
    root = SHARED / "horse2zebra"
    if not root.is_dir():
        pytest.skip("horse2zebra is not on this machine")
    told = json.loads(ganforge("data", "inspect", root, "--json").out)
    counts = {folder["name"]: folder["pictures"] for folder in told["folders"]}
    assert counts == {"trainA": 1067, "trainB": 1334, "testA": 120, "testB": 140}
    assert all(folder["sizes"] == {"256x256": folder["pictures"]} for folder in told["folders"])
    assert told["folders"][1]["modes"] == {"RGB": 1327, "L": 7}
    kinds = {finding["kind"]: finding for finding in told["findings"]}
    assert kinds["copies"]["count"] == 24
    assert kinds["single_channel"]["count"] == 7
    assert [case["files"] for case in kinds["leak"]["cases"]] == [
        ["testA/n02381460_1160.jpg", "trainA/n02381460_3811.jpg"]
    ]
    assert [case["files"] for case in kinds["leak_alike"]["cases"]] == [
        ["testB/n02391049_5240.jpg", "trainB/n02391049_2136.jpg"]  # the same photograph, compressed again
    ]
    assert kinds.keys() == {"copies", "single_channel", "leak", "leak_alike", "alike", "colourless"}


def test_facades_are_sound(ganforge: Callable) -> None:
    root = SHARED / "facades"
    if not root.is_dir():
        pytest.skip("facades are not on this machine")
    outcome = ganforge("data", "inspect", root)
    assert "pairs side by side" in outcome.out
    assert outcome.out.endswith("nothing to find fault with\n")


def test_every_finding_is_documented(repository: Path) -> None:
    page = (repository / "docs/data.md").read_text()
    sources = (repository / "ganforge/builtin/datasets/inspection").glob("*.py")
    code = "\n".join(path.read_text() for path in sources)
    kinds = set(re.findall(r'inding\(\s*"(?:error|warning|note)",\s*"(\w+)"', code))
    kinds |= {"copies", "same_pixels", "red_gap", "blue_gap"}
    assert len(kinds) > 20
    assert {kind for kind in kinds if f"`{kind}`" not in page} == set()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cyclegan_shapes", "-o", "nowhere/samples.png"), "there is no folder nowhere to draw into"),
        ((".",), "`ganforge data inspect .` looks at pictures as they are"),
    ],
)
def test_drawing_samples_says_at_once_what_cannot_be(
    ganforge: Callable, in_tmp: Path, arguments: tuple[str, ...], told: str
) -> None:
    outcome = ganforge("data", "show", *arguments)
    assert outcome.code == 2
    assert told in outcome.err
