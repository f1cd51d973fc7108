"""`ganforge data pack` and `verify`: what they write, what they go on with, what they refuse."""

from __future__ import annotations

import builtins
import io
import os
import shutil
import signal
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
from rich.console import Console
from sharded import SHARD_BYTES, pack_small

from ganforge import EnvironmentFault, images
from ganforge.builtin.datasets.shards import packing
from ganforge.builtin.datasets.shards.index import Index

Make = Callable[..., None]
Run = Callable[..., object]


@pytest.fixture
def folders(tmp_path: Path, make_pictures: Make) -> Path:
    for folder, count in (("trainA", 20), ("trainB", 9), ("testA", 12), ("testB", 2)):
        make_pictures(f"folders/{folder}", [f"{i}.png" for i in range(count)])
    return tmp_path / "folders"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def members(pack: Path, split: str) -> list[tuple[str, bytes]]:
    found = []
    for path in sorted(pack.glob(f"{split}-*.tar")):
        with tarfile.open(path) as tar:
            found += [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()[1:]]  # type: ignore[union-attr]
    return found


def test_the_commands_pack_and_verify(folders: Path, in_tmp: Path, ganforge: Run) -> None:
    done = ganforge("data", "pack", folders, "-o", "packs/toy")
    assert done.code == 0, done.err
    assert done.err == ""
    assert done.out.splitlines()[0].startswith("trainA: 20 samples, 1 shard, 0.0 MiB")
    assert done.out.splitlines()[-1] == "packed: data.type=unpaired_shards data.root=packs/toy"
    assert [path.name for path in (in_tmp / "packs").iterdir()] == ["toy"]
    expected = ["index.json", *(f"{split}-000000.tar" for split in ("testA", "testB", "trainA", "trainB"))]
    assert sorted(path.name for path in (in_tmp / "packs/toy").iterdir()) == expected
    verified = ganforge("data", "verify", "packs/toy")
    assert (verified.code, verified.out) == (0, "4 shards, as packed\n")


def test_files_go_in_as_they_are(folders: Path, tmp_path: Path) -> None:
    index = pack_small(folders, tmp_path / "packed")
    assert index.layout == "unpaired"
    train = members(tmp_path / "packed", "trainA")
    assert [name for name, _ in train] == [f"{number:09}.png" for number in range(20)]
    files = [path.read_bytes() for path in images.list_images(folders / "trainA")]
    assert sorted(data for _, data in train) == sorted(files)
    assert [data for _, data in train] != files  # shuffled
    held_out = [path.read_bytes() for path in images.list_images(folders / "testA")]
    assert [data for _, data in members(tmp_path / "packed", "testA")] == held_out  # in the folder's order


def test_shards_keep_to_their_size(folders: Path, tmp_path: Path) -> None:
    index = pack_small(folders, tmp_path / "packed")
    assert len(index.splits["trainA"]) > 2
    for shard in index.shards:
        assert (tmp_path / "packed" / shard.name).stat().st_size == shard.bytes <= SHARD_BYTES


def test_a_pack_is_a_function_of_files_and_seed(folders: Path, tmp_path: Path) -> None:
    pack_small(folders, tmp_path / "one")
    shutil.copytree(folders, tmp_path / "copied")
    for path in images.list_images(tmp_path / "copied"):
        os.utime(path, (1, 1))
    pack_small(tmp_path / "copied", tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    other = pack_small(folders, tmp_path / "three", seed=1)
    assert (
        other.shards[0].sha256 != Index.model_validate_json((tmp_path / "one/index.json").read_bytes()).shards[0].sha256
    )


def test_webdataset_reads_shards(folders: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    pack_small(folders, tmp_path / "packed")
    shards = [str(path) for path in sorted((tmp_path / "packed").glob("trainA-*.tar"))]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert [(f"{each['__key__']}.png", each["png"]) for each in samples] == members(tmp_path / "packed", "trainA")


def test_webdataset_keeps_pairs_together(tmp_path: Path, make_pictures: Make) -> None:
    webdataset = pytest.importorskip("webdataset")
    make_pictures("twos/trainA", ["1.png", "2.png"])
    make_pictures("twos/trainB", ["1.jpg", "2.jpg"])
    pack_small(tmp_path / "twos", tmp_path / "packed", "two_folders")
    pairs = {
        (p.read_bytes(), (tmp_path / f"twos/trainB/{p.stem}.jpg").read_bytes())
        for p in (tmp_path / "twos/trainA").iterdir()
    }
    samples = webdataset.WebDataset(str(tmp_path / "packed/train-000000.tar"), shardshuffle=False)
    assert {(each["a.png"], each["b.jpg"]) for each in samples} == pairs


# Interruptions


def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shards that are written from now on."""
    names, original = [], packing._write
    monkeypatch.setattr(
        packing, "_write", lambda staged, draft, tell: names.append(draft.name) or original(staged, draft, tell)
    )
    return names


def test_ctrl_c_leaves_nothing_half_and_the_next_call_goes_on(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_small(folders, tmp_path / "whole")
    loaded, original = [], packing._load

    def load(item: object) -> object:
        loaded.append(item)
        if len(loaded) == 15:
            raise KeyboardInterrupt
        return original(item)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "_load", load)
    with pytest.raises(KeyboardInterrupt):
        pack_small(folders, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()
    names = written(monkeypatch)
    pack_small(folders, tmp_path / "packed")
    assert contents(tmp_path / "packed") == contents(tmp_path / "whole")
    assert "trainA-000000.tar" not in names
    assert len(names) < len(list((tmp_path / "whole").glob("*.tar")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folders", "packed", "whole"]


def test_a_killed_process_goes_on(folders: Path, tmp_path: Path) -> None:
    pack_small(folders, tmp_path / "whole")
    code = (
        "import os, signal, sys; from pathlib import Path; from sharded import pack_small\n"
        "from ganforge.builtin.datasets.shards import packing; write, seen = packing._write, []\n"
        "def die(*of):\n"
        "    if len(seen) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    seen.append(write(*of)); return seen[-1]\n"
        "packing._write = die; pack_small(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-c", code, str(folders), str(tmp_path / "packed")]
    assert forked.run(command, env=environment).returncode == -signal.SIGKILL
    staged = tmp_path / ".packed.part"
    assert len(list(staged.glob("*.tar"))) == 3
    times = {path.name: path.stat().st_ino for path in staged.glob("*.tar")}
    pack_small(folders, tmp_path / "packed")
    assert contents(tmp_path / "packed") == contents(tmp_path / "whole")
    assert times.items() <= {path.name: path.stat().st_ino for path in (tmp_path / "packed").iterdir()}.items()


def test_what_changed_is_packed_anew(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken file is taken out: the shards before it stay."""
    order = [name for name, _ in members_by_file(folders, pack_small(folders, tmp_path / "whole"), tmp_path / "whole")]
    broken = folders / "trainA" / order[10]
    broken.write_bytes(b"no picture")
    with pytest.raises(EnvironmentFault, match=rf"cannot pack {broken}: it is not a picture.*\n  replace it, or take"):
        pack_small(folders, tmp_path / "packed")
    kept = len(list((tmp_path / ".packed.part").glob("*.tar")))
    assert kept > 0
    broken.unlink()
    names = written(monkeypatch)
    index = pack_small(folders, tmp_path / "packed")
    assert index.samples("trainA") == 19
    assert len(names) == len(index.shards) - kept


def members_by_file(folders: Path, index: Index, pack: Path) -> list[tuple[str, bytes]]:
    names = {path.read_bytes(): path.name for path in (folders / "trainA").iterdir()}
    assert index.samples("trainA") == len(names)
    return [(names[data], data) for _, data in members(pack, "trainA")]


def test_another_seed_takes_nothing_over(folders: Path, tmp_path: Path) -> None:
    (folders / "testB/1.png").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match="the file is empty"):
        pack_small(folders, tmp_path / "packed")
    (folders / "testB/1.png").unlink()
    pack_small(folders, tmp_path / "packed", seed=1)
    pack_small(folders, tmp_path / "fresh", seed=1)
    assert contents(tmp_path / "packed") == contents(tmp_path / "fresh")


# Refusals


def test_another_pack_is_replaced_only_by_force(folders: Path, in_tmp: Path, ganforge: Run) -> None:
    assert ganforge("data", "pack", folders, "-o", "packed").code == 0
    before = contents(in_tmp / "packed")
    refused = ganforge("data", "pack", folders, "-o", "packed", "--seed", "1")
    assert (refused.code, refused.err) == (
        2,
        "error: packed is a pack already; give another -o, or replace it with --force\n",
    )
    assert contents(in_tmp / "packed") == before
    assert ganforge("data", "pack", folders, "-o", "packed", "--seed", "1", "--force").code == 0
    assert contents(in_tmp / "packed") != before
    assert sorted(path.name for path in in_tmp.iterdir()) == ["folders", "packed"]


def test_what_is_no_pack_is_never_replaced(folders: Path, in_tmp: Path, ganforge: Run) -> None:
    refused = ganforge("data", "pack", folders, "-o", folders, "--force")
    assert (refused.code, refused.err) == (2, f"error: {folders} is there, and no pack of shards; give another -o\n")
    (in_tmp / "empty").mkdir()
    assert ganforge("data", "pack", folders, "-o", "empty").code == 0


def test_two_at_once_are_told(folders: Path, tmp_path: Path, ganforge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    original, inner = packing._write, []

    def write(*of: object) -> object:
        if not inner:
            inner.append(None)
            inner[0] = ganforge("data", "pack", folders, "-o", tmp_path / "packed")
        return original(*of)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "_write", write)
    pack_small(folders, tmp_path / "packed")
    assert inner[0].code == 2
    assert "is being packed by another process" in inner[0].err


@pytest.mark.parametrize(
    ("remove", "add", "message"),
    [
        (["trainA"], [], "neither train nor trainA: a pack is made of"),
        ([], ["train"], "both train and trainA: a pack is made of .*\n.*or say which with --layout"),
        (["trainB"], [], "trainB: no such folder; it should hold the train pictures of domain B"),
        (["testB"], [], "testB: no such folder; it should hold the test pictures of domain B"),
    ],
)
def test_folders_that_tell_nothing(
    folders: Path, tmp_path: Path, ganforge: Run, remove: list[str], add: list[str], message: str
) -> None:
    import re

    for name in remove:
        shutil.rmtree(folders / name)
    for name in add:
        (folders / name).mkdir()
    done = ganforge("data", "pack", folders, "-o", tmp_path / "packed")
    assert done.code in (2, 3)
    assert re.search(message, done.err)
    assert not (tmp_path / ".packed.part").exists()


def test_lonely_files_are_told(folders: Path, tmp_path: Path, ganforge: Run) -> None:
    done = ganforge("data", "pack", folders, "-o", tmp_path / "packed", "--layout", "two_folders")
    assert done.code == 3
    assert "has no partner of the same name" in done.err


def test_a_full_disk_is_told_before_it_is_full(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(EnvironmentFault, match=r"the shards need 0\.00 GiB, but .* has 0\.00 GiB free\n  give an -o"):
        pack_small(folders, tmp_path / "packed")


def test_a_file_that_grows_is_told(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganforge.builtin.datasets.shards.drafts import drafts_of

    drafts = drafts_of(folders, "unpaired", 0, SHARD_BYTES)
    with (folders / "trainA/3.png").open("ab") as file:
        file.write(b"more")
    with pytest.raises(EnvironmentFault, match=r"trainA/3\.png is being changed; pack when nothing writes there"):
        packing.pack(folders, drafts, "unpaired", 0, tmp_path / "packed", False, lambda _: None)


def test_without_webdataset_it_says_how_to_get_it(
    folders: Path, tmp_path: Path, ganforge: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def missing(name: str, *of: object, **more: object) -> object:
        if name == "webdataset":
            raise ModuleNotFoundError("No module named 'webdataset'")
        return original(name, *of, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)
    done = ganforge("data", "pack", folders, "-o", tmp_path / "packed")
    assert (done.code, done.err) == (3, "error: packing needs webdataset: pip install 'ganforge[shards]'\n")


def test_training_needs_no_webdataset(folders: Path, tmp_path: Path) -> None:
    pack_small(folders, tmp_path / "packed")
    code = (
        "import random, sys; from ganforge.builtin.datasets import UnpairedShards\n"
        "UnpairedShards(sys.argv[1], 14, 12).train().sample(0, random.Random(0))\n"
        "assert 'webdataset' not in sys.modules"
    )
    forked.run([sys.executable, "-c", code, tmp_path / "packed"]).check_returncode()


def test_a_terminal_sees_a_bar(folders: Path, tmp_path: Path, ganforge: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda **_: Console(file=screen, force_terminal=True, width=120))
    assert ganforge("data", "pack", folders, "-o", tmp_path / "packed").code == 0
    assert "packing" in screen.getvalue()
    assert "100%" in screen.getvalue() or "kB" in screen.getvalue()


# Verifying


def test_verify_names_the_damaged_shards(folders: Path, tmp_path: Path, ganforge: Run) -> None:
    pack_small(folders, tmp_path / "packed")
    flipped, cut, gone = (tmp_path / f"packed/{name}-000000.tar" for name in ("trainA", "trainB", "testA"))
    data = bytearray(flipped.read_bytes())
    data[3000] ^= 1
    flipped.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:5000])
    gone.unlink()
    done = ganforge("data", "verify", tmp_path / "packed")
    assert done.code == 3
    lines = done.out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f"{name}-000000.tar" for name in ("trainA", "trainB", "testA")
    ]
    assert "it has the SHA-256" in lines[0]
    assert "it has 5000 bytes instead of" in lines[1]
    assert "No such file" in lines[2]
    assert ", 3 damaged\n  copy those again, or pack anew" in done.err


def test_verify_wants_a_pack(tmp_path: Path, ganforge: Run) -> None:
    done = ganforge("data", "verify", tmp_path)
    assert done.code == 3
    assert "is no pack of shards: index.json: No such file or directory\n  correct" in done.err


def test_ctrl_c_in_a_terminal(folders: Path, tmp_path: Path) -> None:
    """The whole command, as a user stops it: here it does so itself, amid a shard."""
    code = (
        "import signal; from ganforge.builtin.datasets.shards import packing; from ganforge.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a background job has not
        "loaded = packing._loaded\n"
        "def stopped(items):\n"
        "    for number, files in enumerate(loaded(items)):\n"
        "        if number == 10: signal.raise_signal(signal.SIGINT)\n"
        "        yield files\n"
        "packing._loaded = stopped; main()"
    )
    command = [sys.executable, "-c", code, "data", "pack", str(folders), "-o", str(tmp_path / "packed")]
    process = forked.run(command)
    assert (process.returncode, process.stderr.splitlines()[-1]) == (130, "interrupted")
    assert len(list((tmp_path / ".packed.part").glob("*.part"))) == 1
    assert not (tmp_path / "packed").exists()
