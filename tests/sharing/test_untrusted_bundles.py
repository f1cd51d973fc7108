"""A bundle may come from anybody: what is wrong with it is told in one error, and nothing of it stays."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganforge.errors import EnvironmentFault, GanforgeError, UsageError
from ganforge.runs.checkpoint.files import Checkpoint, save_checkpoint
from ganforge.sharing.bundle import is_bundle, pack, unpack
from ganforge.sharing.records import Record

HEAD = "bundle.json"
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a bundle."""
    run = tmp_path_factory.mktemp("runs") / "toy" / "0001"
    weights = {"G.weight": torch.arange(600.0)}
    checkpoint = save_checkpoint(run / "checkpoints", 4, Checkpoint(weights, {}, {"position": 4}))
    (run / "recipe.yaml").write_text("run: {steps: 4}\n")
    (run / "run.json").write_text(json.dumps({"recipe": "toy", "status": "finished", "step": 4}))
    (run / "images/a2b").mkdir(parents=True)
    (run / "images/a2b/step_0000004.png").write_bytes(b"no picture, but nobody looks at it")
    target = run / "toy.ganforge.zip"
    pack(Record.read(run), checkpoint, target, code={}, data={"dataset": "x", "plugin": "x", "paths": {}}, state=True)
    return target.read_bytes()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that anything may be unpacked into."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def refused(tmp_path: Path, temporary: Path) -> Callable[[bytes], GanforgeError]:
    """Unpacks these bytes, which must fail and leave nothing; gives the error."""

    def unpacked(content: bytes) -> GanforgeError:
        bundle = tmp_path / "some.zip"
        bundle.unlink(missing_ok=True)
        bundle.write_bytes(content)
        with pytest.raises(GanforgeError) as raised:
            unpack(bundle)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["some.zip", "temporary"]
        assert list(temporary.iterdir()) == []
        return raised.value

    return unpacked


def files_of(bundle: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: Files, compressed: frozenset[str] = frozenset(), mode: int = stat.S_IFREG, **head: object) -> bytes:
    """A bundle of these files whose head lists them truthfully, but for what is given."""
    entries = {n: {"size": len(b), "sha256": hashlib.sha256(b).hexdigest()} for n, b in files.items() if n != HEAD}
    told = {**json.loads(files[HEAD]), "entries": entries, **head}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**files, HEAD: json.dumps(told).encode()}.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode if name == "recipe.yaml" else stat.S_IFREG) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED if name in compressed else zipfile.ZIP_STORED)
    return buffer.getvalue()


def test_a_sound_bundle_is_unpacked_as_a_run(good: bytes, tmp_path: Path) -> None:
    for number, content in enumerate((good, zipped(files_of(good)))):
        bundle = tmp_path / f"{number}.zip"
        bundle.write_bytes(content)
        folder = unpack(bundle).folder
        assert (folder.parent.name, folder.name) == ("toy", "0001")
        assert (folder / "checkpoints/step_0000004/training.safetensors").is_file()
        assert unpack(bundle).folder == folder  # once for all


@pytest.mark.parametrize("length", [0, 1, 30, 0.5, 0.99, -1])
def test_truncated(good: bytes, length: float, refused: Callable) -> None:
    cut = good[: int(length * len(good)) if 0 < length < 1 else int(length)]
    assert isinstance(refused(cut), EnvironmentFault)


def test_no_flipped_bit_gets_into_what_is_unpacked(good: bytes, tmp_path: Path, temporary: Path) -> None:
    """Those of the zip's dates and the like change nothing; every other one is found."""
    found = 0
    for place in range(0, len(good), 41):
        damaged = bytearray(good)
        damaged[place] ^= 1 << place % 8
        bundle = tmp_path / f"{place}.zip"
        bundle.write_bytes(damaged)
        try:
            folder = unpack(bundle).folder
        except GanforgeError:
            found += 1
            assert list(temporary.iterdir()) == []
        else:
            for name, content in files_of(good).items():
                assert name == HEAD or (folder / name).read_bytes() == content
            shutil.rmtree(temporary)
            temporary.mkdir()
    assert found > 0.8 * len(range(0, len(good), 41))


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "/evil.txt",
        "images/../../step_0000001.png",
        "C:\\evil.txt",
        "images\\a2b\\step_0000001.png",
        "images/../step_0000001.png",
        "code.py",
        "checkpoints/step_0000004/networks.pt",
        "checkpoints/step_0000004/../../../../evil.safetensors",
        "RECIPE.yaml",
        "images/a2b/",
        "images/a2b/step_0000001.png\n",
        "recipe.yaml/x",
    ],
)
def test_a_member_that_no_bundle_has(good: bytes, name: str, refused: Callable) -> None:
    assert repr(name) in str(refused(zipped({**files_of(good), name: b"x"})))


def test_a_link(good: bytes, refused: Callable) -> None:
    content = {**files_of(good), "recipe.yaml": b"/etc/passwd"}
    assert "recipe.yaml is no plain file" in str(refused(zipped(content, mode=stat.S_IFLNK)))


def test_two_members_of_one_name(good: bytes, refused: Callable) -> None:
    buffer = io.BytesIO(good)
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("recipe.yaml", "run: {steps: 5}\n")
    assert "not those that it lists" in str(refused(buffer.getvalue()))


def test_members_that_are_not_listed_or_not_there(good: bytes, refused: Callable) -> None:
    files = files_of(good)
    entries = json.loads(files[HEAD])["entries"]
    assert "not those that it lists" in str(refused(zipped({**files, "evaluation.md": b"x"}, entries=entries)))
    del files["images/a2b/step_0000004.png"]
    assert "not those that it lists" in str(refused(zipped(files, entries=entries)))
    del files["checkpoints/step_0000004/ema.safetensors"]
    assert "lacks checkpoints/step_0000004/ema.safetensors" in str(refused(zipped(files)))


def test_another_content_under_the_same_hash(good: bytes, refused: Callable) -> None:
    files = files_of(good)
    entries = json.loads(files[HEAD])["entries"]
    files["recipe.yaml"] = b"run: {steps: 5}\n"
    error = refused(zipped(files, entries=entries))
    assert isinstance(error, EnvironmentFault)
    assert "recipe.yaml is not what was packed" in str(error)


def test_bombs(good: bytes, refused: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = bytes(2**24)
    monkeypatch.setattr("ganforge.sharing.bundle.contents.MAX_TEXT_BYTES", 2**25 - 1)
    names = [f"images/{side}/step_0000001.png" for side in ("a", "b")]
    bomb = zipped({**files_of(good), **dict.fromkeys(names, zeros)}, frozenset(names))
    assert len(bomb) < 2**17
    assert "unpacks to more than" in str(refused(bomb))


def test_a_member_that_is_longer_than_it_says(good: bytes, refused: Callable) -> None:
    """Both lengths in the zip's directory lie."""
    length = 1_234_567
    bomb = zipped({**files_of(good), "evaluation.md": bytes(length)}, frozenset({"evaluation.md"}))
    said, lie = (n.to_bytes(4, "little") for n in (length, 16))
    assert bomb.count(said) == 2  # before the member, and in the directory
    refused(bomb.replace(said, lie))


def test_members_on_top_of_each_other(good: bytes, refused: Callable) -> None:
    """As D. Fifield's zip bomb: many entries of the directory share one content."""
    content = zipped({**files_of(good), "images/a/step_0000001.png": bytes(2**16)})
    buffer = io.BytesIO(content)
    archive = zipfile.ZipFile(buffer, "a")
    shared = archive.getinfo("images/a/step_0000001.png")
    for number in range(2, 40):
        other = zipfile.ZipInfo(f"images/a/step_{number:07d}.png")
        for key in ("header_offset", "file_size", "compress_size", "CRC", "external_attr"):
            setattr(other, key, getattr(shared, key))
        archive.filelist.append(other)
    archive._didModify = True  # type: ignore[attr-defined]
    archive.close()
    refused(buffer.getvalue())


def test_other_formats_and_no_bundles(good: bytes, refused: Callable) -> None:
    files = files_of(good)
    for number in (0, 2):
        error = refused(zipped(files, format=number))
        assert f"format {number}, and this ganforge reads format 1" in str(error)
    del files[HEAD]
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("holiday.jpg", b"x")
    error = refused(plain.getvalue())
    assert isinstance(error, UsageError)
    assert "`ganforge bundle RUN` packs one" in str(error)


@pytest.mark.parametrize(
    "head",
    [
        {"recipe": ".."},
        {"recipe": "a/b"},
        {"run": "../x"},
        {"checkpoint": "../step_0000004"},
        {"format": "1"},
        {"plugins": {"x": {"distribution": "x; rm -rf ~", "version": "\x1b[2J", "sha256": "0" * 64}}},
        {"entries": [1]},
    ],
    ids=str,
)
def test_a_head_that_says_what_none_says(good: bytes, head: dict[str, object], refused: Callable) -> None:
    told = str(refused(zipped(files_of(good), **head)))
    assert HEAD in told
    assert "\x1b" not in told


@pytest.mark.parametrize("content", [b"", b"[]", b"{" * 100_000, b"\xff", b'{"format": 1}', b"[" * 100_000])
def test_a_head_that_is_none(good: bytes, content: bytes, refused: Callable) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in {**files_of(good), HEAD: content}.items():
            archive.writestr(name, text)
    refused(buffer.getvalue())


def test_a_recipe_that_would_read_other_files(good: bytes, refused: Callable) -> None:
    content = {**files_of(good), "recipe.yaml": b"extends: /etc/passwd\n"}
    assert "extends" in str(refused(zipped(content)))


def test_a_checkpoint_that_leads_elsewhere(good: bytes, refused: Callable) -> None:
    files = files_of(good)
    manifest = "checkpoints/step_0000004/manifest.json"
    led = {**json.loads(files[manifest]), "../../../../../etc/passwd": "0" * 64}
    assert "manifest" in str(refused(zipped({**files, manifest: json.dumps(led).encode()})))
    later = {name.replace("0000004", "0000005"): content for name, content in files.items()}
    assert "another checkpoint" in str(refused(zipped({**files, **later})))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"paths": {"root": {"path": 3, "files": []}}}', b'{"paths": {"r": {"path": "x"}}}']
)
def test_a_list_of_data_that_is_none(good: bytes, data: bytes, refused: Callable) -> None:
    assert "data.json lists no data" in str(refused(zipped({**files_of(good), "data.json": data})))


def test_files_that_are_meant_as_bundles(good: bytes, tmp_path: Path) -> None:
    cases = {"a.zip": b"", "b.yaml": b"run: {}\n", "c": good, "d.ganforge.zip": b"text"}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    assert [is_bundle(tmp_path / name) for name in cases] == [True, False, True, True]
    assert not is_bundle(tmp_path)
    assert not is_bundle(tmp_path / "none.zip")


def test_commands_tell_it_in_one_error_and_write_nothing(good: bytes, ganforge: Callable, in_tmp: Path) -> None:
    Path("cut.ganforge.zip").write_bytes(good[:-100])
    Path("plain.zip").write_bytes(b"text")
    for bundle in ("cut.ganforge.zip", "plain.zip"):
        for arguments in (["run", bundle], ["translate", bundle, ".", "-o", "out"]):
            outcome = ganforge(*arguments)
            assert outcome.code in (2, 3), outcome
            assert "Traceback" not in outcome.err
            assert sorted(path.name for path in in_tmp.iterdir()) == ["cut.ganforge.zip", "plain.zip", "temporary"]
