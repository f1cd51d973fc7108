"""Shards at a URL: fetched once, checked, kept within bounds, by many processes at once."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sharded
import torch
from filelock import FileLock
from forked import Forked
from sharded import Host, pack_small, serving

from ganforge import EnvironmentFault, Sample
from ganforge.builtin.datasets import UnpairedShards
from ganforge.builtin.datasets.shards import cache as caches
from ganforge.builtin.datasets.shards import transfer
from ganforge.builtin.datasets.shards.cache import Cache
from ganforge.builtin.datasets.shards.index import Index
from ganforge.ranks.device import Precision

Make = Callable[..., None]
CPU = Precision("fp32", torch.device("cpu"))
SIZES = {"load_px": 14, "crop_px": 12}
SHARD = 10_240  # what four of these pictures take
ROOM = 8 * SHARD


@pytest.fixture
def packed(tmp_path: Path, make_pictures: Make) -> Path:
    for folder, count in (("trainA", 40), ("trainB", 25), ("testA", 3), ("testB", 2)):
        make_pictures(f"folders/{folder}", [f"{i}.png" for i in range(count)])
    pack_small(tmp_path / "folders", tmp_path / "packed")
    return tmp_path / "packed"


@pytest.fixture
def host(packed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(transfer, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(packed) as host:
        yield host


def remote(host: Host, folder: Path, room: int = ROOM, mix_shards: int = 2) -> UnpairedShards:
    options = {"cache_dir": str(folder), "cache_gib": room / 2**30, "mix_shards": mix_shards}
    return UnpairedShards(f"{host.url}/", **SIZES, **options)


def equal(left: Sample, right: Sample) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def used(folder: Path) -> int:
    """Bytes of shards, whole or on their way."""
    found = 0
    for path in folder.iterdir():
        if path.suffix in (".tar", ".part"):
            try:
                found += path.stat().st_size
            except FileNotFoundError:
                continue
    return found


def test_samples_are_those_of_the_folder(packed: Path, host: Host, tmp_path: Path) -> None:
    dataset, local = remote(host, tmp_path / "cache"), UnpairedShards(str(packed), **SIZES)
    dataset.prepare()
    assert host.asked == ["index.json"]
    ours, theirs = dataset.train(), local.train()
    for number in (0, 39, 45):
        assert equal(ours.sample(number, random.Random(1)), theirs.sample(number, random.Random(1)))
    assert len(set(host.shards)) == len(host.shards) <= 6
    validation, expected = dataset.validation(), local.validation()
    assert validation is not None
    assert expected is not None
    assert equal(validation.sample(2, random.Random(0)), expected.sample(2, random.Random(0)))


def test_an_epoch_brings_each_shard_once_within_the_bound(packed: Path, host: Host, tmp_path: Path) -> None:
    folder, index = tmp_path / "cache", Index.model_validate_json((packed / "index.json").read_bytes())
    dataset = remote(host, folder)
    dataset.prepare()
    train = dataset.train()
    order = train.order(random.Random(0))
    assert order is not None
    for number in order:
        train.sample(number, random.Random(0))
        assert used(folder) <= ROOM
    assert {shard.bytes for shard in index.splits["trainA"]} == {SHARD}
    assert len(index.shards) > ROOM // SHARD
    counts = {name: host.shards.count(name) for name in host.shards if name.startswith("trainA")}
    assert counts == {shard.name: 1 for shard in index.splits["trainA"]}


def test_many_workers_share_a_cache(packed: Path, host: Host, tmp_path: Path) -> None:
    """Three processes of two workers each; the fourth reads the folder, and all see the same."""
    folder = tmp_path / "cache"
    remote(host, folder).prepare()
    peaks, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            peaks.append(used(folder))
            time.sleep(0.002)

    watching = threading.Thread(target=watch)
    watching.start()
    command = [sys.executable, sharded.__file__, f"{host.url}/", str(folder), str(ROOM / 2**30)]
    trainings = [Forked(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [training.communicate(timeout=600)[0].strip() for training in trainings]
    stop.set()
    watching.join()
    assert told == 3 * [sharded.digest(str(packed), str(folder), 1.0, workers=0)]
    assert 0 < max(peaks) <= ROOM
    assert not list(folder.glob("*.part"))


def test_one_process_brings_what_many_want(host: Host, tmp_path: Path, packed: Path) -> None:
    shard = Index.model_validate_json((packed / "index.json").read_bytes()).splits["trainA"][0]
    code = (
        "import sys; from pathlib import Path; from ganforge.builtin.datasets.shards.cache import Cache\n"
        "from ganforge.builtin.datasets.shards.index import Shard\n"
        "Cache(Path(sys.argv[1]), 10**9).bring(Shard.model_validate_json(sys.argv[2]), sys.argv[3])"
    )
    url = f"{host.url}/{shard.name}"
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), shard.model_dump_json(), url]
    processes = [Forked(command) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        cache = Cache(tmp_path / "cache", 10**9)
        files = set(pool.map(lambda _: cache.bring(shard, url), range(4)))
    assert [process.wait() for process in processes] == [0, 0]
    assert host.shards == [shard.name]
    assert files == {tmp_path / "cache" / f"{shard.sha256}.tar"}


def test_those_unused_for_longest_leave_first(packed: Path, host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    a, b, c = Index.model_validate_json((packed / "index.json").read_bytes()).splits["trainA"][:3]
    cache = Cache(folder, a.bytes + b.bytes)
    (folder / "sub").mkdir(parents=True)
    (folder / "mine.tar").write_bytes(bytes(10**6))  # somebody else's, and no business of ours
    for shard in (a, b, a, c):
        file = cache.bring(shard, f"{host.url}/{shard.name}")
        os.utime(file, (len(host.asked), len(host.asked)))  # some clocks are coarse
        time.sleep(0.01)
        cache.bring(shard, f"{host.url}/{shard.name}")
    assert {path.stem for path in folder.glob("*.tar")} == {a.sha256, c.sha256, "mine"}
    assert host.shards == [a.name, b.name, c.name]


def test_what_a_dead_process_left_makes_room(packed: Path, host: Host, tmp_path: Path) -> None:
    a, b = Index.model_validate_json((packed / "index.json").read_bytes()).splits["trainA"][:2]
    cache = Cache(tmp_path, max(a.bytes, b.bytes))
    part = tmp_path / f"{b.sha256}.part"
    part.write_bytes(bytes(b.bytes))
    cache.bring(a, f"{host.url}/{a.name}")
    assert not part.exists()
    part.write_bytes(b"half")
    cache.bring(b, f"{host.url}/{b.name}")
    assert {path.stem for path in tmp_path.glob("*.tar")} == {b.sha256}


def test_what_another_brings_is_waited_for(packed: Path, host: Host, tmp_path: Path) -> None:
    a, b = Index.model_validate_json((packed / "index.json").read_bytes()).splits["trainA"][:2]
    assert caches._lock_of(tmp_path / f"{a.sha256}.tar") != caches._lock_of(tmp_path / f"{b.sha256}.tar")
    cache = Cache(tmp_path, max(a.bytes, b.bytes))
    part = tmp_path / f"{b.sha256}.part"
    with ThreadPoolExecutor(1) as pool:
        with FileLock(tmp_path / caches._lock_of(part)):
            part.write_bytes(bytes(b.bytes))
            waiting = pool.submit(cache.bring, a, f"{host.url}/{a.name}")
            time.sleep(0.3)
            assert not waiting.done()
            assert used(tmp_path) <= cache.most_bytes
        waiting.result(timeout=600)
    assert host.shards == [a.name]


def test_a_shard_that_is_dropped_comes_again(host: Host, tmp_path: Path) -> None:
    train = remote(host, tmp_path / "cache").train()
    first = train.sample(0, random.Random(0))
    for file in (tmp_path / "cache").glob("*.tar"):
        file.unlink()
    assert equal(train.sample(0, random.Random(0)), first)


def test_a_cut_file_in_the_cache_comes_again(host: Host, tmp_path: Path) -> None:
    train = remote(host, tmp_path / "cache").train()
    first = train.sample(0, random.Random(0))
    for file in (tmp_path / "cache").glob("*.tar"):
        file.write_bytes(file.read_bytes()[:100])
    assert equal(train.sample(0, random.Random(0)), first)


def test_files_are_the_index(host: Host, tmp_path: Path) -> None:
    dataset = remote(host, tmp_path / "cache")
    assert dataset.files() == []
    dataset.prepare()
    assert [path.read_bytes() for path in dataset.files()] == [(tmp_path / "packed/index.json").read_bytes()]


# Faults


def test_a_broken_connection_is_resumed(packed: Path, host: Host, tmp_path: Path) -> None:
    dataset = remote(host, tmp_path / "cache")
    dataset.prepare()
    host.breaks_after = [3000, 0, 2000]
    dataset.train().sample(0, random.Random(0))
    assert host.ranges == ["bytes=3000-", "bytes=3000-", "bytes=5000-"]


def test_a_busy_server_is_asked_again(host: Host, tmp_path: Path) -> None:
    host.statuses = [503, 429]
    remote(host, tmp_path / "cache").prepare()
    assert host.asked == ["index.json"] * 3
    host.statuses = [503] * 3
    with pytest.raises(
        EnvironmentFault, match=r"cannot fetch http://127.*/index\.json: HTTP Error 503.*\n  see whether"
    ):
        remote(host, tmp_path / "cache").prepare()


def test_what_is_not_there_is_asked_for_once(host: Host, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"cannot fetch .*/elsewhere/index\.json: HTTP Error 404"):
        UnpairedShards(f"{host.url}/elsewhere", cache_dir=str(tmp_path / "cache")).prepare()
    assert len(host.asked) == 1


def test_no_server_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAUSES_S", (0.0,))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(EnvironmentFault, match=r"cannot fetch http://127\.0\.0\.1:1/index\.json: .*[Rr]efused"):
        UnpairedShards("http://127.0.0.1:1", cache_dir=str(tmp_path / "cache")).prepare()


def test_a_wrong_hash_is_told_and_not_kept(packed: Path, host: Host, tmp_path: Path) -> None:
    shard = packed / "trainA-000000.tar"
    data = bytearray(shard.read_bytes())
    data[3000] ^= 1
    shard.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    with pytest.raises(
        EnvironmentFault, match=rf"trainA-000000\.tar has the SHA-256 {sha256} instead of [0-9a-f]+\n.*publish all"
    ):
        remote(host, tmp_path / "cache").train().sample(0, random.Random(0))
    assert not list((tmp_path / "cache").glob("*.part"))
    assert not list((tmp_path / "cache").glob("*.tar"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data + b"more", r"trainA-000000\.tar has more than the \d+ bytes that it should have"),
        (lambda data: data[:-10], r"trainA-000000\.tar has \d+ bytes instead of \d+"),
    ],
)
def test_another_size_is_told(
    packed: Path, host: Host, tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    shard = packed / "trainA-000000.tar"
    shard.write_bytes(change(shard.read_bytes()))
    with pytest.raises(EnvironmentFault, match=message):
        remote(host, tmp_path / "cache").train().sample(0, random.Random(0))
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_cache_that_is_too_small_is_told_before_training(host: Host, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"read together take .* GiB, `cache_gib` is .*\n  raise it, or lower"):
        remote(host, tmp_path / "cache", room=5 * SHARD).prepare()
    remote(host, tmp_path / "cache", room=5 * SHARD, mix_shards=1).prepare()


def test_a_cache_that_cannot_be_written_is_told(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        EnvironmentFault, match=r"cannot keep shards in .*/file: .*\n  `cache_dir` names another folder"
    ):
        remote(host, tmp_path / "file").prepare()


def test_a_full_disk_is_told(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = remote(host, tmp_path / "cache")
    dataset.prepare()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caches, "transfer", full)
    with pytest.raises(
        EnvironmentFault, match=r"cannot keep http.*: \[Errno 28\] No space left on device\n  `cache_dir`"
    ):
        dataset.train().sample(0, random.Random(0))
