"""A run of pairs takes its half of files that are pairs side by side, and compares with the other one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from translation.pictures import noise

import ganforge as package
from ganforge import images
from ganforge.builtin.datasets.paired import side_by_side
from ganforge.testing import run_recipe


@pytest.fixture
def pairs(in_tmp: Path) -> Path:
    """Three pairs with `b` on the left, as the facades are, and a picture that is none."""
    folder = in_tmp / "in"
    folder.mkdir()
    for index in range(3):
        a, b = (noise(40, 40 + side).roll(index, 1)[:, :, :40] for side in (0, 1))
        images.write_image(folder / f"{index}.png", torch.cat([b, a], 2))
    images.write_image(folder / "single.png", noise(40, 44))
    return folder


def test_the_half_that_is_the_source_is_taken(ganforge: Callable, halving: Path, pairs: Path, in_tmp: Path) -> None:
    outcome = ganforge("translate", halving, "in", "-o", "out", "--compare", "--batch", "2")
    assert outcome.code == 0, outcome.err
    told = "files hold several pictures: real_a, on the right, is translated, and real_b is the truth\n"
    assert outcome.out.count(told) == 1
    half = images.read_image(pairs / "1.png")[:, :, 40:]
    images.write_image(in_tmp / "half.png", half)
    ganforge("translate", halving, "half.png", "-o", "alone")
    assert torch.equal(images.read_image(in_tmp / "out/1.png"), images.read_image(in_tmp / "alone/half.png"))
    assert images.read_image(in_tmp / "out/single.png").shape == (3, 40, 44)
    # The sheet has a column for the truth, where there is one.
    with Image.open("out/compare/1.png") as paired, Image.open("out/compare/single.png") as single:
        assert paired.width > single.width
    for name in ("absolute_error", "psnr", "ssim"):
        assert f"  {name} against real_b: " in outcome.out
    assert outcome.out.count("the mean of 3 made now") == 3


def test_whole_files_where_asked(ganforge: Callable, halving: Path, pairs: Path, in_tmp: Path) -> None:
    outcome = ganforge("translate", halving, "in", "-o", "out", "--whole")
    assert outcome.code == 0
    assert "hold several pictures" not in outcome.out
    assert images.read_image(in_tmp / "out/1.png").shape == (3, 40, 80)
    mixed = ganforge("translate", halving, "in", "-o", "out")
    assert mixed.code == 2
    assert "  files: whole -> parted\n" in mixed.err


def test_a_dataset_without_pairs_takes_all_files_whole(ganforge: Callable, unpaired: Path, pairs: Path) -> None:
    outcome = ganforge("translate", unpaired, "in/1.png", "-o", "out")
    assert "hold several pictures" not in outcome.out
    assert images.read_image(Path("out/1.png")).shape == (3, 40, 80)


def test_from_python(halving: Path, pairs: Path) -> None:
    translate = package.load(halving)
    assert translate(pairs / "0.png").size == (40, 40)
    assert translate(Image.open(pairs / "0.png")).size == (40, 40)
    assert translate(images.read_image(pairs / "0.png")).shape == (3, 40, 80)  # a tensor is taken as it is
    assert package.load(halving, whole=True)(pairs / "0.png").size == (80, 40)


def test_a_gallery_of_such_files(ganforge: Callable, halving: Path, pairs: Path, in_tmp: Path) -> None:
    (pairs / "broken.png").write_bytes(b"")
    (in_tmp / "odd.png").write_bytes((pairs / "0.png").read_bytes())
    (in_tmp / "odd.png").rename(pairs / "caf\udce9.png")
    outcome = ganforge("gallery", halving, "--pictures", "in", "-o", "page")
    assert outcome.code == 0, outcome.err
    assert "cannot read the picture in/broken.png" in outcome.err
    assert "caf\N{REPLACEMENT CHARACTER}.png" in Path("page/index.html").read_text()
    sizes = {Image.open(path).size for path in Path("page/pictures").glob("*_before.webp")}
    assert sizes == {(40, 40), (44, 40)}


@pytest.mark.parametrize(
    ("size", "expected"), [((40, 80), True), ((256, 512), True), ((9, 16), False), ((40, 79), True)]
)
def test_what_counts_as_side_by_side(size: tuple[int, int], expected: bool) -> None:
    assert bool(side_by_side(*size, "a")) is expected
    if expected:
        height, width = size
        left, right = (side_by_side(*size, "b")[name] for name in ("real_b", "real_a"))
        assert left == (0, 0, height, width // 2)
        assert right == (0, width // 2, height, width - width // 2)


def test_the_truth_of_the_same_name(ganforge: Callable, repository: Path, in_tmp: Path) -> None:
    grey = ("data.layout=two_folders", "data.channels_b=1", "networks.G.out_channels=1", "networks.D.in_channels=4")
    run = in_tmp / "pix2pix" / "0001"
    run.mkdir(parents=True)
    run_recipe(repository / "recipes/tiny/pix2pix_facades.yaml", *grey, steps=1, fake_data=True, folder=run)
    for name in ("testA", "testB"):
        (in_tmp / name).mkdir()
    images.write_image(in_tmp / "testA/x.png", noise(32, 32))
    images.write_image(in_tmp / "testA/lonely.png", noise(32, 32))
    images.write_image(in_tmp / "testB/x.jpg", noise(32, 32))
    outcome = ganforge("translate", run, "testA", "-o", "out", "--compare")
    assert outcome.code == 0, outcome.err
    assert "the truth is there: real_b of testA/x.png is testB/x.jpg\n" in outcome.out
    assert "  psnr against real_b: " in outcome.out
    assert "the mean of 1 made now" in outcome.out
    assert images.read_exact(in_tmp / "out/x.png", 1).shape == (1, 32, 32)
