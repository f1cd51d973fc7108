"""Whatever is wrong with one file, the others are translated, and it is told at the end."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from translation.pictures import noise

from ganforge import images
from ganforge.errors import EnvironmentFault
from ganforge.inference.translate.done_list import NAME
from ganforge.inference.translate.translator import Translator


@pytest.fixture
def translate(ganforge: Callable, unpaired: Path) -> Callable:
    return lambda *arguments: ganforge("translate", unpaired, *arguments)


@pytest.fixture
def folder(in_tmp: Path) -> Path:
    (in_tmp / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        images.write_image(in_tmp / "in" / name, noise(24, 24))
    return in_tmp / "in"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != NAME)


def test_a_name_that_is_no_text(ganforge_process: Callable, unpaired: Path, folder: Path, in_tmp: Path) -> None:
    """In a process of its own: what is printed must not fail either."""
    (folder / "b.jpg").rename(folder / "caf\udce9.jpg")
    (folder / "bad\udce9.jpg").write_bytes(b"")
    output = "out\udce9"
    outcome = ganforge_process("translate", unpaired, "in", "-o", output)
    assert outcome.code == 3
    assert "2 of 3 pictures are in out\\udce9" in outcome.out
    assert "cannot read the picture in/bad\\udce9.jpg: the file is empty" in outcome.err
    assert names(in_tmp / output) == ["a.png", "caf\udce9.png"]
    again = ganforge_process("translate", unpaired, "in", "-o", output)
    assert "2 of 3 pictures are there already" in again.out


def test_files_that_are_none(translate: Callable, folder: Path, in_tmp: Path) -> None:
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    (folder / "link.png").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    (folder / ("n" * 250 + ".jpg")).write_bytes((folder / "a.jpg").read_bytes())
    images.write_image(folder / "b.png", noise(24, 24))
    outcome = translate("in", "-o", "out")
    assert outcome.code == 3
    assert "2 of 7 pictures are in out" in outcome.out
    for told in (
        "cannot read the picture in/empty.png: the file is empty",
        "in/link.png: No such file or directory",
        "cannot read the picture in/pipe.png: it is no plain file",
        ".jpg: File name too long",
        "in/b.jpg and in/b.png would both become out/b.png: rename one of them",
    ):
        assert told in outcome.err
    assert names(in_tmp / "out") == ["a.png", "b.png"]


@pytest.mark.parametrize("error", [IndexError("odd"), AssertionError(), MemoryError(), KeyError("x")], ids=repr)
def test_a_size_that_the_network_stumbles_on(
    translate: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    images.write_image(folder / "c.jpg", noise(24, 50))
    compute = Translator.compute

    def stumbling(self: Translator, pictures: torch.Tensor) -> torch.Tensor:
        if pictures.shape[-1] != 24:
            raise error
        return compute(self, pictures)

    monkeypatch.setattr(Translator, "compute", stumbling)
    outcome = translate("in", "-o", "out")
    assert outcome.code == 3
    assert "2 of 3 pictures are in out" in outcome.out
    assert "in/c.jpg: " in outcome.err


def test_one_of_a_batch(translate: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Translator.compute

    def alone(self: Translator, pictures: torch.Tensor) -> torch.Tensor:
        if len(pictures) > 1:
            raise MemoryError
        return compute(self, pictures)

    monkeypatch.setattr(Translator, "compute", alone)
    outcome = translate("in", "-o", "out", "--batch", "2")
    assert (outcome.code, names(Path("out"))) == (0, ["a.png", "b.png"])


def test_a_full_disk_ends_it_and_it_goes_on(translate: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []

    def full(path: Path, picture: torch.Tensor) -> None:
        tried.append(path)
        raise EnvironmentFault(f"cannot write the picture {path}") from OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(images, "write_image", full)
        outcome = translate("in", "-o", "out")
    assert outcome.code == 3
    assert len(tried) == 1
    assert "the same command goes on from here" in outcome.err
    assert translate("in", "-o", "out").code == 0


def test_results_among_the_pictures(translate: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = images.write_image, list[Path]()

    def interrupted(path: Path, picture: torch.Tensor) -> None:
        write(path, picture)
        written.append(path)
        if len(written) == 3:  # of a.jpg both files are there, of b.jpg one: and its line is not
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(images, "write_image", interrupted)
        assert translate("in", "-o", "in", "--compare").code == 130
    assert names(folder) == ["a.jpg", "a.png", "b.jpg", "b.png", "compare"]
    for expected in ("1 of 2 pictures are there already", "2 of 2 pictures are there already"):
        outcome = translate("in", "-o", "in", "--compare")
        assert (outcome.code, outcome.err) == (0, "")
        assert expected in outcome.out
    assert (
        translate(*map(str, sorted(folder.glob("*.*g"))), "-o", "in", "--compare").code == 0
    )  # as a shell writes in/*


def test_no_picture_is_replaced(translate: Callable, folder: Path) -> None:
    images.write_image(folder / "a.png", noise(8, 8))
    before = (folder / "a.png").read_bytes()
    outcome = translate("in", "-o", "in")
    assert outcome.code == 3
    assert "in/a.png would be replaced by that of in/a.jpg; give another folder with -o" in outcome.err
    assert (folder / "a.png").read_bytes() == before
    assert (folder / "b.png").is_file()
