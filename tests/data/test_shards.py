"""Samples from shards: those of the folders, in orders that stay near each other, and no faults untold."""

from __future__ import annotations

import itertools
import json
import pickle
import random
import tarfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from sharded import pack_small

from ganforge import Dataset, EnvironmentFault, Sample, images
from ganforge.builtin.datasets import PairedFolders, PairedShards, UnpairedFolders, UnpairedShards
from ganforge.builtin.datasets.shards.index import Index
from ganforge.ranks.device import Precision
from ganforge.ranks.division import Division
from ganforge.training.loader import Loader

Make = Callable[..., None]
SIZES = {"load_px": 14, "crop_px": 12}
CPU = Precision("fp32", torch.device("cpu"))


@pytest.fixture
def unpaired(tmp_path: Path, make_pictures: Make) -> Path:
    for folder, count in (("trainA", 40), ("trainB", 25), ("testA", 3), ("testB", 2)):
        make_pictures(f"folders/{folder}", [f"{i}.png" for i in range(count)])
    return tmp_path / "folders"


@pytest.fixture
def packed(unpaired: Path, tmp_path: Path) -> Path:
    pack_small(unpaired, tmp_path / "packed")
    return tmp_path / "packed"


@pytest.fixture
def twos(tmp_path: Path, make_pictures: Make) -> Path:
    for folder, count, suffix in (("trainA", 20, "png"), ("trainB", 20, "jpg"), ("valA", 3, "png"), ("valB", 3, "bmp")):
        make_pictures(f"twos/{folder}", [f"{i}.{suffix}" for i in range(count)])
    return tmp_path / "twos"


def index_of(pack: Path) -> Index:
    return Index.model_validate_json((pack / "index.json").read_bytes())


def members(pack: Path, split: str) -> list[bytes]:
    """The files of a split as Python's own reader sees them."""
    found = []
    for shard in index_of(pack).splits[split]:
        with tarfile.open(pack / shard.name) as tar:
            found += [tar.extractfile(member).read() for member in tar.getmembers()[1:]]  # type: ignore[union-attr]
    return found


def equal(left: Sample, right: Sample) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def validation_is_equal(ours: Dataset, theirs: Dataset) -> bool:
    packed, folders = ours.validation(), theirs.validation()
    assert packed is not None
    assert folders is not None
    assert len(packed) == len(folders)
    rng = random.Random(0)
    return all(equal(packed.sample(index, rng), folders.sample(index, rng)) for index in range(len(folders)))


@pytest.mark.parametrize("as_url", [False, True])
def test_unpaired_samples_are_those_of_the_folders(unpaired: Path, packed: Path, as_url: bool) -> None:
    options = {**SIZES, "channels_b": 1}
    dataset = UnpairedShards(packed.as_uri() if as_url else str(packed), **options)
    folders = UnpairedFolders(unpaired, **options)
    dataset.prepare()
    assert dataset.shapes() == folders.shapes()
    assert validation_is_equal(dataset, folders)
    train = dataset.train()
    assert len(train) == 40
    of_a, of_b = ({path.read_bytes(): path for path in (unpaired / f"train{d}").iterdir()} for d in "AB")
    a, b = members(packed, "trainA"), members(packed, "trainB")
    assert sorted(a) == sorted(of_a)
    for number in range(40):
        drawn, rng = train.sample(number, random.Random(number)), random.Random(number)
        for field, data, files, channels in (("real_a", a[number], of_a, 3), ("real_b", b[number % 25], of_b, 1)):
            whole = images.resize(images.read_image(files[data], channels), 14, 14)
            assert torch.equal(drawn[field], folders.framing.augment(whole, rng))


@pytest.mark.parametrize("left", ["a", "b"])
def test_pairs_side_by_side_are_those_of_the_folders(tmp_path: Path, make_pictures: Make, left: str) -> None:
    for folder, count in (("train", 20), ("val", 3), ("test", 2)):
        make_pictures(f"pairs/{folder}", [f"{i}.png" for i in range(count)], size=(16, 40))
    index = pack_small(tmp_path / "pairs", tmp_path / "packed")
    assert [index.samples(split) for split in ("train", "val", "test")] == [20, 3, 2]
    options = {**SIZES, "channels_a": 1, "left": left}
    pairs_are_equal(PairedShards(str(tmp_path / "packed"), **options), PairedFolders(tmp_path / "pairs", **options))


def test_pairs_of_two_files_are_those_of_the_folders(twos: Path, tmp_path: Path) -> None:
    pack_small(twos, tmp_path / "packed", "two_folders")
    options = {**SIZES, "channels_b": 1}
    pairs_are_equal(
        PairedShards(str(tmp_path / "packed"), **options), PairedFolders(twos, layout="two_folders", **options)
    )


def pairs_are_equal(dataset: Dataset, folders: Dataset) -> None:
    dataset.prepare()
    assert dataset.shapes() == folders.shapes()
    assert dataset.truths() == folders.truths()
    assert validation_is_equal(dataset, folders)
    train, of_folders = dataset.train(), folders.train()

    def drawn(samples: object) -> list[tuple[bytes, ...]]:
        each = (samples.sample(n, random.Random(3)) for n in range(len(of_folders)))  # type: ignore[attr-defined]
        return [tuple(sample[field].numpy().tobytes() for field in ("real_a", "real_b")) for sample in each]

    ours, theirs = drawn(train), drawn(of_folders)
    assert ours != theirs  # shuffled in the pack
    assert sorted(ours) == sorted(theirs)


def test_an_epoch_shows_each_picture_in_an_order_near_the_shards(packed: Path) -> None:
    dataset = UnpairedShards(str(packed), **SIZES, mix_shards=2)
    train, index = dataset.train(), index_of(packed)
    assert len(index.splits["trainA"]) >= 6
    order = train.order(random.Random(1))
    assert order is not None
    pairs = [pair_of(number, 40, 25) for number in order]
    assert sorted(a for a, _ in pairs) == list(range(40))
    assert Counter(Counter(b for _, b in pairs).values()) == {2: 15, 1: 10}  # equally often, as far as 40 / 25 goes
    homes = [number for number, shard in enumerate(index.splits["trainA"]) for _ in range(shard.samples)]
    shown = [homes[a] for a, _ in pairs]
    windows = [len(set(shown[start : start + 4])) for start in range(37)]
    assert max(windows) <= 3  # two at a time, and a third as they change
    assert sum(windows) / len(windows) > 1.4  # and they are mixed
    assert train.order(random.Random(1)) == order
    others = [train.order(random.Random(seed)) for seed in range(2, 6)]
    assert all(other != order for other in others)
    assert len({homes[pair_of(other[0], 40, 25)[0]] for other in others if other}) > 1  # shards are shuffled, too


def pair_of(number: int, larger: int, smaller: int) -> tuple[int, int]:
    turn, first = divmod(number, larger)
    return first, (first + turn) % smaller


def test_the_smaller_domain_may_be_a(tmp_path: Path, make_pictures: Make) -> None:
    for folder, count in (("trainA", 2), ("trainB", 5)):
        make_pictures(f"folders/{folder}", [f"{i}.png" for i in range(count)])
    pack_small(tmp_path / "folders", tmp_path / "packed")
    dataset = UnpairedShards(str(tmp_path / "packed"), **SIZES, flip=False)
    assert dataset.validation() is None
    train = dataset.train()
    order = train.order(random.Random(0))
    assert order is not None
    assert len(order) == len(train) == 5
    counts = Counter(train.sample(number, random.Random(0))["real_b"].numpy().tobytes() for number in order)
    assert list(counts.values()) == [1] * 5


def test_pairs_are_shown_once_an_epoch(twos: Path, tmp_path: Path) -> None:
    pack_small(twos, tmp_path / "packed", "two_folders")
    order = PairedShards(str(tmp_path / "packed"), **SIZES).train().order(random.Random(0))
    assert order is not None
    assert sorted(order) == list(range(20)) != order


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_goes_on_in_the_middle_of_an_epoch(packed: Path, workers: int) -> None:
    def taken(count: int, first: int, workers: int, division: Division) -> list[dict[str, torch.Tensor]]:
        samples = UnpairedShards(str(packed), **SIZES, mix_shards=2).train()
        with closing(Loader(samples, division, workers, 5, CPU).batches(first)) as batches:
            return list(itertools.islice(batches, count))

    for division in (Division(3), Division(3, lanes=2, ranks=2, rank=1)):
        whole = taken(20, 0, 0, division)  # an epoch and a half, or three
        rest = taken(9, 11, workers, division)
        assert all(equal(a, b) for a, b in zip(whole[11:], rest, strict=True))


def test_a_resumed_run_reads_what_it_needs(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = UnpairedShards(str(packed), **SIZES)
    read, original = [], dataset.store.read
    monkeypatch.setattr(dataset.store, "read", lambda *place: read.append(place) or original(*place))
    with closing(Loader(dataset.train(), Division(2), 0, 5, CPU).batches(17)) as batches:
        next(batches)
    assert len(read) == 4


def test_shares_have_shards_of_their_own(packed: Path) -> None:
    def opened(rank: int) -> set[str]:
        dataset = UnpairedShards(str(packed), **SIZES, mix_shards=1)
        samples, found, original = dataset.train(), [], dataset.store.read

        def read(shard, number, members):  # type: ignore[no-untyped-def]
            found.append(shard.name)
            return original(shard, number, members)

        dataset.store.read = read  # type: ignore[method-assign]
        with closing(Loader(samples, Division(2, lanes=2, ranks=2, rank=rank), 0, 5, CPU).batches(0)) as batches:
            list(itertools.islice(batches, 10))
        return {name for name in found if name.startswith("trainA")}

    first, second = opened(0), opened(1)
    assert len(first & second) <= 1 < len(first)


def test_spawned_workers_get_the_samples(packed: Path) -> None:
    train = UnpairedShards(str(packed), **SIZES).train()
    theirs = pickle.loads(pickle.dumps(train))
    assert equal(theirs.sample(45, random.Random(0)), train.sample(45, random.Random(0)))


def test_files_are_the_index_and_the_shards(packed: Path) -> None:
    dataset = UnpairedShards(str(packed))
    assert sorted(dataset.files()) == sorted(packed.iterdir())


# Faults


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (lambda root: UnpairedShards(str(root / "nothing")), "nothing is no pack of shards: index.json: No such file"),
        (lambda root: PairedShards(str(root / "packed")), "do not correspond; `type: unpaired_shards` reads them"),
    ],
)
def test_another_pack_is_told(packed: Path, dataset: Callable[[Path], Dataset], message: str) -> None:
    with pytest.raises(EnvironmentFault, match=message):
        dataset(packed.parent).prepare()


def test_pairs_are_no_domains(twos: Path, tmp_path: Path) -> None:
    pack_small(twos, tmp_path / "packed", "two_folders")
    with pytest.raises(EnvironmentFault, match="these shards hold pairs; `type: paired_shards` reads them"):
        UnpairedShards(str(tmp_path / "packed")).prepare()


def test_another_scheme_is_told() -> None:
    with pytest.raises(ValueError, match="cannot read from s3://; mount it as a folder, or serve it by https://"):
        UnpairedShards("s3://bucket/pack")


def lie(pack: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    index = json.loads((pack / "index.json").read_text())
    change(index)
    (pack / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.update(version=2), "version: Input should be 1"),
        (lambda index: index.update(format="tar"), "format: Input should be 'ganforge.shards'"),
        (lambda index: index.update(layout="cubes"), "layout: Input should be 'unpaired', "),
        (lambda index: index.update(extra=1), "extra: Extra inputs are not permitted"),
        (lambda index: index["splits"].pop("trainB"), "its splits are trainA, testA, testB, which are none"),
        (lambda index: index["splits"].pop("testB"), "test pictures of one domain only"),
        (lambda index: index["splits"].update(trainA=[]), "its shards of trainA are not trainA-000000.tar"),
        (lambda index: index["splits"]["trainA"][1].update(name="../../etc/passwd"), "its shards of trainA are not"),
        (lambda index: index["splits"]["trainA"].reverse(), "its shards of trainA are not"),
        (lambda index: index["splits"]["trainA"][0].update(samples=0), r"trainA\.0\.samples: Input should be greater"),
        (lambda index: index["splits"]["trainA"][0].update(bytes="9000"), r"0\.bytes: Input should be a valid integer"),
        (lambda index: index["splits"]["trainA"][0].update(sha256="../x"), r"trainA\.0\.sha256: String should match"),
    ],
)
def test_a_broken_index_is_told(packed: Path, change: Callable[[dict], object], message: str) -> None:  # type: ignore[type-arg]
    lie(packed, change)
    with pytest.raises(EnvironmentFault, match=rf"index\.json is no index of shards of version 1: .*{message}"):
        UnpairedShards(str(packed)).prepare()


def test_a_truncated_index_is_told(packed: Path) -> None:
    (packed / "index.json").write_bytes((packed / "index.json").read_bytes()[:100])
    with pytest.raises(EnvironmentFault, match=r"index\.json is no index of shards of version 1: Invalid JSON"):
        UnpairedShards(str(packed)).prepare()


def test_a_missing_or_truncated_shard_is_told_before_training(packed: Path) -> None:
    shard = packed / "trainA-000001.tar"
    data = shard.read_bytes()
    shard.write_bytes(data[:-512])
    (packed / "trainB-000000.tar").unlink()
    with pytest.raises(
        EnvironmentFault,
        match=rf"trainA-000001\.tar has {len(data) - 512} bytes instead of {len(data)}, and so with 1 more\n  copy",
    ):
        UnpairedShards(str(packed)).prepare()


def change_shard(packed: Path, change: Callable[[bytearray], object]) -> None:
    shard = packed / "trainA-000000.tar"
    data = bytearray(shard.read_bytes())
    change(data)
    shard.write_bytes(data)


def overwrite(place: int, content: bytes) -> Callable[[bytearray], object]:
    return lambda data: data.__setitem__(slice(place, place + len(content)), content)


def zero_names(data: bytearray) -> None:
    """The name of the first member in another spelling, its checksum put right: it is another list."""
    data[0:2] = b"yy"
    whole = 256 + sum(data[:148]) + sum(data[156:512])
    data[148:156] = b"%06o\0 " % whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (overwrite(0, bytes(512)), "a header is broken"),
        (zero_names, r"it does not begin with __sizes\.json__"),
        (overwrite(512, b"{"), "is no list of sizes"),
        (overwrite(512, b"[[[["), "is no list of sizes"),
        (overwrite(512, b"[-1]".ljust(21)), "is no list of sizes"),
        (overwrite(512, b"[1]".ljust(21)), r"it lists 1 files instead of \d"),
        (overwrite(512, b"[9999999999,1,1,1]".ljust(21)), "the files that it lists are larger than itself"),
        (overwrite(1024, bytes(512)), "a header is broken"),
        (overwrite(513, b"2"), "the file's header does not"),
        (overwrite(1536, bytes(300)), "cannot read the picture of sample 0 in trainA-000000.tar: "),
        (lambda data: data.__delitem__(slice(2000, None)), "it has 2000 bytes instead of"),
    ],
)
def test_a_broken_shard_is_told(packed: Path, change: Callable[[bytearray], object], message: str) -> None:
    change_shard(packed, change)
    with pytest.raises(EnvironmentFault, match=message):
        UnpairedShards(str(packed), **SIZES).train().sample(0, random.Random(0))


def test_a_shard_that_goes_is_told(packed: Path) -> None:
    train = UnpairedShards(str(packed), **SIZES).train()
    (packed / "trainA-000000.tar").unlink()
    with pytest.raises(EnvironmentFault, match=r"cannot read from .*trainA-000000\.tar: No such file or directory"):
        train.sample(0, random.Random(0))


def test_pickles_are_bytes_that_nobody_opens(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Member names choose no decoder: a pickle in a shard is a broken picture."""

    class Planted:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (packed / "opened",))

    evil = pickle.dumps(Planted())
    with tarfile.open(packed / "trainA-000000.tar") as tar:
        first = tar.getmembers()[1]

    def plant(data: bytearray) -> None:
        start = first.offset_data
        data[start : start + first.size] = evil.ljust(first.size, b"\0")

    change_shard(packed, plant)
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("a pickle was opened"))
    with pytest.raises(EnvironmentFault, match="not a picture of a known format"):
        UnpairedShards(str(packed), **SIZES).train().sample(0, random.Random(0))
    assert not (packed / "opened").exists()
