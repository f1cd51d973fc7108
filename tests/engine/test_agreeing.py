"""What ranks find to differ before the first step: ranks that are threads, and tell each other as processes would."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ganforge import Dataset, Samples, UsageError
from ganforge.builtin.datasets.shards.store import open_store
from ganforge.ranks import World
from ganforge.ranks.agreeing import agree, agree_on_data


class Table:
    """Where so many threads put what they tell, and find what the others told."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=600)
        self.told = [""] * size


@dataclass(frozen=True)
class Thread(World):
    """A rank that is a thread."""

    table: Table = field(kw_only=True)

    def gather(self, value: Any) -> list[Any]:
        self.table.told[self.rank] = json.dumps(value)
        self.table.barrier.wait()
        told = [json.loads(text) for text in self.table.told]
        self.table.barrier.wait()
        return told

    def from_first(self, value: Any) -> Any:
        return self.gather(value)[0]


class Files(Dataset):
    """Nothing but files."""

    def __init__(self, *paths: Path) -> None:
        self.paths = paths

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {}

    def files(self) -> tuple[Path, ...]:
        return self.paths

    def train(self) -> Samples:
        raise NotImplementedError


def written(folder: Path, sizes: Mapping[str, int]) -> Files:
    """Files of so many bytes."""
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(size))
    return Files(*(folder / name for name in sizes))


def differences(*datasets: Dataset) -> list[str]:
    """What ranks with these data are told: all the same."""
    table = Table(len(datasets))

    def compare(rank: int) -> str:
        try:
            agree_on_data(Thread(rank, len(datasets), table=table), datasets[rank], samples=4)
        except UsageError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(len(datasets)) as pool:
        told = set(pool.map(compare, range(len(datasets))))
    assert len(told) == 1
    return [line.partition(": ")[2] for line in told.pop().splitlines() if line.startswith("  rank ")]


PICTURES = {"trainA/1.jpg": 5, "trainA/of/2.jpg": 6, "trainB/1.jpg": 7}
SHARDS = {"index.json": 5, "trainA-000000.tar": 6, "trainB-000000.tar": 7}


@pytest.mark.parametrize("sizes", [PICTURES, SHARDS, {"trainA/1.jpg": 5}, {}])
def test_equal_data_may_lie_anywhere(sizes: Mapping[str, int], tmp_path: Path) -> None:
    one, other = (written(tmp_path / folder, sizes) for folder in ("fast/packA", "slow/disk/packB"))
    assert differences(one, other, one) == []


def test_shards_from_a_url_may_be_kept_anywhere(tmp_path: Path) -> None:
    stores = [open_store("https://example.org/pack", str(tmp_path / name), 1) for name in ("scratch", "tmp/cache")]
    for store in stores:
        store._keep(b"{}")
    assert differences(*(Files(*store.files()) for store in stores)) == []


def test_each_file_that_differs_is_told_as_it_is_and_as_rank_0_has_it(tmp_path: Path) -> None:
    first = written(tmp_path / "first", PICTURES)
    larger = written(tmp_path / "larger", PICTURES | {"trainA/1.jpg": 9})
    other = written(tmp_path / "other", {"trainA/1.jpg": 5, "trainB/1.jpg": 7, "trainB/2.jpg": 8})
    assert differences(first, larger, other) == [
        "data trainA/1.jpg: 9 bytes instead of 5 bytes",
        "data trainA/of/2.jpg: absent instead of 6 bytes",
        "data trainB/2.jpg: 8 bytes instead of absent",
    ]


def test_files_in_other_folders_are_other_files(tmp_path: Path) -> None:
    one = written(tmp_path / "one", {"trainA/1.jpg": 5, "trainB/2.jpg": 6})
    other = written(tmp_path / "other", {"trainB/1.jpg": 5, "trainA/2.jpg": 6})
    assert len(differences(one, other)) == 4


def test_a_host_may_have_its_own_disks_and_workers() -> None:
    table = Table(2)
    own = [
        {"root": "/fast", "cache": "memory", "cache_dir": "/scratch", "cache_gib": 100, "workers": 8},
        {"root": "/slow", "cache": "none", "cache_dir": "/tmp", "cache_gib": 1, "workers": 2},
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda rank: agree(Thread(rank, 2, table=table), {"recipe": {"data": own[rank]}}), range(2)))
