"""Panels of many samples are laid out for a screen, not in one long column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganforge.training.panels import MOST_PX, lay_out

TRANSLATION = ["real_a", "fake_b", "rec_a", "rec_a error"]


def samples(count: int, kinds: int, side: int) -> list[list[torch.Tensor]]:
    """Each cell has a colour of its own: red says which sample, green which kind."""
    colours = [[(index * 2 % 250, kind * 40, 128) for kind in range(kinds)] for index in range(count)]
    return [
        [torch.tensor(colour, dtype=torch.uint8)[:, None, None].repeat(1, side, side) for colour in row]
        for row in colours
    ]


@pytest.mark.parametrize("side", [32, 256])
@pytest.mark.parametrize("count", [16, 64, 100])
@pytest.mark.parametrize(
    ("labels", "one_by_one"), [(TRANSLATION, True), (["real_a", "fake_b"], True), (["fake"], False)]
)
def test_many_samples_fill_a_screen(labels: list[str], one_by_one: bool, count: int, side: int) -> None:
    _, height, width = lay_out(samples(count, len(labels), side), labels, one_by_one).shape
    assert max(height, width) <= MOST_PX
    assert 0.5 < width / height < 2.1


@pytest.mark.parametrize("count", [1, 4])
def test_few_translations_have_a_row_each(count: int) -> None:
    _, height, width = lay_out(samples(count, 4, 32), TRANSLATION).shape
    assert (height, width) == (8 + 20 + 8 + count * 136, 8 + 4 * 136)


def test_a_translation_stands_beside_its_picture_and_samples_go_on_from_row_to_row() -> None:
    panel = lay_out(samples(9, 2, 128), ["real_a", "fake_b"]).permute(1, 2, 0)
    blue = panel[..., 2] == 128
    seen = [
        tuple(panel[y, x, :2].tolist()) for y, x in blue.nonzero().tolist() if not blue[y - 1, x] and not blue[y, x - 1]
    ]
    assert seen == [(index * 2, kind * 40) for index in range(9) for kind in range(2)]


def test_samples_of_noise_make_a_square_for_each_kind() -> None:
    panel = lay_out(samples(64, 2, 32), ["real", "fake"], one_by_one=False)
    green = [panel[1].eq(kind * 40) & panel[2].eq(128) for kind in range(2)]
    for shown in green:
        rows, columns = shown.any(1).nonzero(), shown.any(0).nonzero()
        assert rows.max() - rows.min() == columns.max() - columns.min()
        assert shown.sum() == 64 * 128 * 128
    assert green[0].any(0).nonzero().max() < green[1].any(0).nonzero().min()


@pytest.mark.parametrize(
    ("recipe", "panel", "limits"),
    [("dcgan_spots", "fake", (1300, 3400)), ("cyclegan_shapes", "a2b", (2400, 3600))],
)
def test_64_images_through_the_command(
    ganforge: Callable, in_tmp: Path, repository: Path, recipe: str, panel: str, limits: tuple[int, int]
) -> None:
    outcome = ganforge(
        "run",
        repository / "recipes" / "tiny" / f"{recipe}.yaml",
        "run.steps=1",
        "run.images_count=64",
        "data.validation=64",
    )
    assert outcome.code == 0, outcome.err
    (file,) = (in_tmp / "runs" / recipe / "0001" / "images" / panel).glob("*1.png")
    with Image.open(file) as drawn:
        assert drawn.height <= limits[0]
        assert drawn.width <= limits[1]
