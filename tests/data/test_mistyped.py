"""A mistyped folder is told, and nothing is written into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ganforge.builtin.datasets import download as fetching
from ganforge.builtin.datasets import folders

RECIPE = "cyclegan_horse2zebra"


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What would have been downloaded, and where to."""
    calls: list[tuple[str, Path]] = []

    def fetch(name: str, folder: Path) -> None:
        calls.append((name, folder))

    monkeypatch.setattr(folders, "fetch", fetch)
    monkeypatch.setattr(fetching, "fetch", fetch)
    return calls


SMALL = ("networks.G_ab.blocks=0", "networks.G_ab.channels=2", "networks.G_ba.blocks=0", "networks.G_ba.channels=2")


@pytest.mark.parametrize("command", ["run", "data show", "check --data"])
def test_nothing_is_downloaded_into_a_folder_of_another_name(
    in_tmp: Path, ganforge: Callable, fetched: list[tuple[str, Path]], command: str
) -> None:
    (in_tmp / "datasets/horse2zebra/trainA").mkdir(parents=True)
    first, *flags = command.split()
    words = [first, *flags] if first == "data" else [first]
    options = [] if first == "data" else flags
    done = ganforge(*words, RECIPE, "data.root=datasets/horse2zebr", *SMALL, *options)
    assert done.code == 2
    assert "command line:1:11: there is nothing in 'datasets/horse2zebr'" in done.err
    assert "did you mean 'datasets/horse2zebra'?" in done.err
    assert "ganforge data download horse2zebra --root datasets/horse2zebr" in done.err
    assert fetched == []
    assert not (in_tmp / "datasets/horse2zebr").exists()


def test_nor_where_a_recipe_extends_the_one_that_downloads(
    in_tmp: Path, ganforge: Callable, fetched: list[tuple[str, Path]]
) -> None:
    (in_tmp / "mine.yaml").write_text(f"extends: {RECIPE}\ndata: {{root: my/horses}}\n")
    done = ganforge("data", "show", "mine.yaml")
    assert done.code == 2
    assert "mine.yaml:2:14: there is nothing in 'my/horses'" in done.err
    assert fetched == []


@pytest.mark.parametrize(
    "overrides", [(), ("data.root=elsewhere", "data.download=horse2zebra"), ("data.download=monet2photo",)]
)
def test_the_recipes_own_folder_is_filled(
    in_tmp: Path, ganforge: Callable, fetched: list[tuple[str, Path]], overrides: tuple[str, ...]
) -> None:
    done = ganforge("data", "show", RECIPE, *overrides)
    if overrides == ("data.download=monet2photo",):  # into the folder of horse2zebra?
        assert (done.code, fetched) == (2, [])
        return
    assert done.code == 3  # nothing was brought
    root = Path("elsewhere" if overrides else "datasets/horse2zebra")
    assert fetched == [("horse2zebra", root)]


def test_the_download_command_goes_where_it_is_told(
    in_tmp: Path, ganforge: Callable, fetched: list[tuple[str, Path]]
) -> None:
    assert ganforge("data", "download", "horse2zebra", "--root", "new/place").code == 0
    assert fetched == [("horse2zebra", Path("new/place"))]


def test_a_cache_of_shards_is_not_made_below_a_folder_that_is_not_there(
    in_tmp: Path, ganforge: Callable, repository: Path
) -> None:
    (in_tmp / "scratch").mkdir()
    recipe = repository / "recipes/tiny/cyclegan_horse2zebra.yaml"
    shards = ("data.type=unpaired_shards", "data.root=https://localhost:9/pack", "data.cache_dir=scrach/shards")
    done = ganforge("run", recipe, *shards)
    assert done.code == 3
    assert "there is no folder scrach; did you mean 'scratch'?" in done.err
    assert not (in_tmp / "scrach").exists()


def test_a_mistyped_pack_is_told(in_tmp: Path, ganforge: Callable, repository: Path) -> None:
    (in_tmp / "packs/horses").mkdir(parents=True)
    recipe = repository / "recipes/tiny/cyclegan_horse2zebra.yaml"
    done = ganforge("run", recipe, "data.type=unpaired_shards", "data.root=packs/horse")
    assert done.code == 3
    assert "did you mean 'packs/horses'?" in done.err
