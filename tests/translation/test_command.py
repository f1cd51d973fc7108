"""`ganforge translate`: which pictures, where they go, going on, and what went wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from translation.pictures import noise

from ganforge import images
from ganforge.errors import UsageError
from ganforge.inference.translate.done_list import NAME
from ganforge.inference.translate.jobs import find_jobs


@pytest.fixture
def translate(ganforge: Callable, unpaired: Path) -> Callable:
    return lambda *arguments: ganforge("translate", unpaired, *arguments)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# Which pictures


def test_order_and_names_are_kept(album: Path, in_tmp: Path) -> None:
    jobs = find_jobs(["in/deep", "in"], Path("out"), ".png", sheets=False)
    assert [job.source.as_posix() for job in jobs] == ["in/deep/x.png", "in/2.png", "in/10.jpg", "in/broken.jpg"]
    assert [job.target.as_posix() for job in jobs] == ["out/x.png", "out/2.png", "out/10.png", "out/broken.png"]


def test_patterns_keep_the_folders_below_them(album: Path, in_tmp: Path) -> None:
    (album / "notes.txt").write_text("no picture")
    jobs = find_jobs(["in/**/*"], Path("out"), ".jpg", sheets=True)
    assert [job.target.as_posix() for job in jobs] == ["out/2.jpg", "out/10.jpg", "out/broken.jpg", "out/deep/x.jpg"]
    assert jobs[-1].sheet == Path("out/compare/deep/x.png")
    jobs = find_jobs(["in/d*"], Path("out"), ".png", sheets=False)
    assert [job.target.as_posix() for job in jobs] == ["out/deep/x.png"]


def test_a_file_with_wildcards_in_its_name_is_a_file(in_tmp: Path) -> None:
    images.write_image(in_tmp / "a[1].png", noise(4, 4))
    assert [job.target.name for job in find_jobs(["a[1].png"], Path("out"), ".png", sheets=False)] == ["a[1].png"]


def test_results_in_the_same_folder_are_no_pictures_to_translate(album: Path, in_tmp: Path) -> None:
    (album / "out").mkdir()
    images.write_image(album / "out/2.png", noise(4, 4))
    sources = [job.source.as_posix() for job in find_jobs(["in"], Path("in/out"), ".png", sheets=False)]
    assert "in/out/2.png" not in sources
    assert "in/2.png" in sources


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (["missing.png"], "there is no picture or folder missing.png"),
        (["*.gif"], "there are no pictures in *.gif"),
        (["empty"], "there are no pictures in empty"),
        (["in", "other"], "in/2.png and other/2.png would both become out/2.png; translate them into two folders"),
        (["out"], "out/2.png would be replaced by its own translation; give another folder with -o"),
        (["out/2.png"], "out/2.png would be replaced by its own translation; give another folder with -o"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_told(album: Path, in_tmp: Path, inputs: list[str], told: str) -> None:
    for folder in ("empty", "other", "out"):
        (in_tmp / folder).mkdir()
    for folder in ("other", "out"):
        images.write_image(in_tmp / folder / "2.png", noise(4, 4))
    with pytest.raises(UsageError) as refused:
        find_jobs(inputs, Path("out"), ".png", sheets=False)
    assert told in str(refused.value)


# What is made of them


def test_a_folder_with_sheets_and_a_broken_picture(translate: Callable, album: Path, in_tmp: Path) -> None:
    outcome = translate("in", "-o", "out", "--compare")
    assert outcome.code == 3
    assert "3 of 4 pictures are in out" in outcome.out
    assert "cannot read the picture in/broken.jpg" in outcome.err
    made = ["10.png", "2.png", "deep/x.png"]
    assert files(in_tmp / "out") == sorted([*made, *(f"compare/{name}" for name in made), NAME])
    sheet = Image.open("out/compare/2.png")
    assert sheet.width > 3 * 40
    assert Image.open("out/2.png").size == (40, 32)


def test_directions(translate: Callable, album: Path) -> None:
    assert "fake_a = G_ba(real_b)" in translate("in/2.png", "-o", "out", "--direction", "b2a").out
    assert "fake_b = G_ab(real_a)" in translate("in/2.png", "-o", "other").out
    assert translate("in/2.png", "-o", "third", "--direction", "a2c").code == 2


def test_batches_change_nothing(translate: Callable, album: Path, in_tmp: Path) -> None:
    (album / "broken.jpg").unlink()
    for name, options in {"one": (), "many": ("--batch", "8")}.items():
        outcome = translate("in", "-o", name, *options)
        assert outcome.code == 0, outcome.err
    for name in files(in_tmp / "one"):
        if name != NAME:
            ours, theirs = (images.read_image(in_tmp / folder / name).int() for folder in ("one", "many"))
            assert (ours - theirs).abs().max() <= 1


def test_tiles_are_told_in_one_line(translate: Callable, in_tmp: Path) -> None:
    images.write_image(in_tmp / "x.png", noise(100, 80))
    outcome = translate("x.png", "-o", "tiled", "--tile", "64")
    assert outcome.code == 0, outcome.err
    assert (
        "fake_b of large pictures: tiles of 64 pixels, with the whole picture's statistics, in 8 passes\n"
        in outcome.out
    )
    translate("x.png", "-o", "whole", "--tile", "off")
    ours, theirs = (images.read_image(in_tmp / folder / "x.png").int() for folder in ("tiled", "whole"))
    assert (ours - theirs).abs().max() <= 1
    for wrong in ("63", "large"):
        refused = translate("x.png", "-o", "tiled", "--tile", wrong)
        assert refused.code == 2
        assert "is none of auto, off, and a number of pixels from 64 on" in refused.err


@pytest.mark.parametrize(("options", "deep"), [((), True), (("--depth", "8"), False), (("--format", "jpg"), False)])
def test_16_bits_in_16_bits_out(translate: Callable, in_tmp: Path, options: tuple[str, ...], deep: bool) -> None:
    images.write_image(in_tmp / "deep.png", images.to_uint16(noise(16, 16)))
    assert translate("deep.png", "-o", "out", *options, "--compare").code == 0
    made = next(path for path in (in_tmp / "out").iterdir() if path.stem == "deep")
    assert made.suffix == (".jpg" if "jpg" in options else ".png")
    assert (images.read_exact(made).dtype == torch.uint16) == deep


def test_8_bits_in_16_bits_out_where_asked(translate: Callable, in_tmp: Path) -> None:
    images.write_image(in_tmp / "x.png", noise(16, 16))
    assert translate("x.png", "-o", "out", "--depth", "16").code == 0
    made = images.read_exact(in_tmp / "out/x.png")
    assert made.dtype == torch.uint16
    assert (made.to(torch.int32) % 257 != 0).any()
    assert translate("x.png", "-o", "other", "--depth", "16", "--format", "jpg").code == 2


def test_formats(translate: Callable, in_tmp: Path) -> None:
    images.write_image(in_tmp / "x.png", noise(16, 20))
    assert translate("x.png", "-o", "out", "--format", "tiff").code == 0
    with Image.open(in_tmp / "out/x.tiff") as made:
        assert (made.size, made.format) == ((20, 16), "TIFF")


# Going on


def times(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in files(folder) if name != NAME}


def test_what_is_there_is_not_made_again(translate: Callable, album: Path, in_tmp: Path) -> None:
    (album / "broken.jpg").unlink()
    translate("in/2.png", "-o", "out")
    before = times(in_tmp / "out")
    outcome = translate("in", "-o", "out")
    assert "1 of 3 pictures are there already\n" in outcome.out
    assert "3 of 3 pictures are in out\n" in outcome.out
    after = times(in_tmp / "out")
    assert len(after) == 3
    assert after["2.png"] == before["2.png"]
    assert "3 of 3 pictures are there already" in translate("in", "-o", "out").out


def test_what_has_changed_is_made_again(translate: Callable, album: Path, in_tmp: Path) -> None:
    translate("in/2.png", "in/deep/x.png", "in/10.jpg", "-o", "out")
    os.utime(album / "2.png", ns=(1, 1))
    (in_tmp / "out/x.png").unlink()
    outcome = translate("in/2.png", "in/deep/x.png", "in/10.jpg", "-o", "out")
    assert "1 of 3 pictures are there already\n" in outcome.out
    assert (in_tmp / "out/x.png").is_file()
    # A picture of the same name from elsewhere is another one; asked for sheets, those without are made again.
    images.write_image(in_tmp / "2.png", noise(8, 8))
    assert "already" not in translate("2.png", "-o", "out").out
    assert Image.open(in_tmp / "out/2.png").size == (8, 8)
    assert "already" not in translate("2.png", "-o", "out", "--compare").out


def test_pictures_made_otherwise_are_not_mixed(translate: Callable, album: Path, in_tmp: Path) -> None:
    translate("in/2.png", "-o", "out")
    refused = translate("in", "-o", "out", "--direction", "b2a", "--size", "16")
    assert refused.code == 2
    assert refused.err == (
        "error: the pictures in out were made otherwise:\n"
        "  signal: fake_b -> fake_a\n  size: None -> 16\n"
        "  give another folder with -o, or --overwrite to make them anew\n"
    )
    outcome = translate("in/2.png", "-o", "out", "--direction", "b2a", "--size", "16", "--overwrite")
    assert outcome.code == 0
    assert Image.open(in_tmp / "out/2.png").size == (16, 16)


def test_an_interrupted_folder_is_gone_on_with(
    translate: Callable, album: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (album / "broken.jpg").unlink()
    write = images.write_image
    written: list[Path] = []

    def interrupted(path: Path, picture: torch.Tensor) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, picture)

    with monkeypatch.context() as patched:
        patched.setattr(images, "write_image", interrupted)
        outcome = translate("in", "-o", "out")
    assert outcome.code == 130
    assert "the same command goes on from here" in outcome.err
    assert files(in_tmp / "out") == sorted(["10.png", "2.png", NAME])
    with (in_tmp / "out" / NAME).open("a") as ledger:
        ledger.write('{"target": "deep/x.p')  # as a machine that stops leaves it
    outcome = translate("in", "-o", "out")
    assert "2 of 3 pictures are there already" in outcome.out
    lines = (in_tmp / "out" / NAME).read_text().splitlines()
    assert [json.loads(line).get("target") for line in lines] == [None, "2.png", "10.png", "deep/x.png"]


def test_what_cannot_be_written_is_told_and_the_others_go_on(translate: Callable, album: Path) -> None:
    (album.parent / "out").mkdir()
    (album.parent / "out/deep").write_text("a file where a folder should be")
    outcome = translate("in/2.png", "in", "-o", "out")
    assert outcome.code == 3
    assert "cannot make the folder out/deep: File exists" in outcome.err
    assert "2 of 4 pictures are in out" in outcome.out
