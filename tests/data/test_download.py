import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest
from rich.console import Console

from ganforge import EnvironmentFault
from ganforge.builtin.datasets import UnpairedFolders, archives, download
from ganforge.builtin.datasets.archives import ARCHIVES, Archive

FOLDERS = ("trainA", "trainB", "testA", "testB")


class Host:
    """A server of one archive at a path that the archive's table gives; it misbehaves as told."""

    def __init__(self) -> None:
        self.body = b""
        self.breaks_after: list[int] = []  # one request each: bytes until the connection breaks
        self.ranges = True
        self.requests: list[str | None] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"]
        self.requests.append(asked)
        if handler.path != "/cyclegan/datasets/toy.zip":
            handler.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        handler.send_response(206 if asked and self.ranges else 200)
        handler.send_header("Content-Length", str(len(self.body) - start))
        handler.end_headers()
        end = start + self.breaks_after.pop(0) if self.breaks_after else len(self.body)
        handler.wfile.write(self.body[start:end])


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    host = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("GANFORGE_ARCHIVES", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(download, "PAUSES_S", (0.0, 0.0))
    yield host
    server.shutdown()
    thread.join()
    server.server_close()


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def toy_members() -> dict[str, bytes]:
    return {f"toy/{folder}/{i}.jpg": f"{folder} {i}".encode() * 500 for folder in FOLDERS for i in range(2)}


@pytest.fixture
def publish(host: Host, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts an archive called `toy` on the host and into the table."""

    def publish(body: bytes, sha256: str = "") -> None:
        host.body = body
        path = PurePosixPath("cyclegan/datasets/toy.zip")
        sha256 = sha256 or hashlib.sha256(body).hexdigest()
        monkeypatch.setitem(ARCHIVES, "toy", Archive("toy", path, len(body), sha256, FOLDERS))  # type: ignore[misc]

    return publish


Publish = Callable[..., None]


def contents(folder: Path) -> dict[str, bytes]:
    return {f"toy/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_archive_is_fetched_once(
    tmp_path: Path, host: Host, publish: Publish, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(zipped(toy_members()))
    folder = tmp_path / "datasets/toy"
    download.fetch("toy", folder)
    assert contents(folder) == toy_members()
    assert {path.name for path in folder.parent.iterdir()} == {"toy", "toy.zip"}
    assert capfd.readouterr().err.splitlines()[1:] == ["downloaded toy"]
    download.fetch("toy", folder)
    assert host.requests == [None]


def test_a_broken_connection_is_resumed(tmp_path: Path, host: Host, publish: Publish) -> None:
    publish(zipped(toy_members()))
    host.breaks_after = [1000, 0, 0, 2000]  # two barren attempts in a row are borne
    download.fetch("toy", tmp_path / "toy")
    assert contents(tmp_path / "toy") == toy_members()
    assert host.requests == [None, "bytes=1000-", "bytes=1000-", "bytes=1000-", "bytes=3000-"]


def test_the_next_call_goes_on_where_the_last_stopped(tmp_path: Path, host: Host, publish: Publish) -> None:
    publish(zipped(toy_members()))
    host.breaks_after = [1000, 0, 0, 0]
    with pytest.raises(EnvironmentFault, match="cannot download toy: the connection broke off"):
        download.fetch("toy", tmp_path / "toy")
    assert [path.name for path in tmp_path.iterdir()] == ["toy.zip.part"]
    download.fetch("toy", tmp_path / "toy")
    assert host.requests[-1] == "bytes=1000-"
    assert contents(tmp_path / "toy") == toy_members()


def test_a_host_without_ranges_starts_over(tmp_path: Path, host: Host, publish: Publish) -> None:
    publish(zipped(toy_members()))
    host.ranges, host.breaks_after = False, [1000]
    download.fetch("toy", tmp_path / "toy")
    assert contents(tmp_path / "toy") == toy_members()


def test_a_body_that_is_always_cut_off_ends(tmp_path: Path, host: Host, publish: Publish) -> None:
    publish(zipped(toy_members()))
    host.ranges, host.breaks_after = False, [1000] * 9
    with pytest.raises(EnvironmentFault, match="the connection broke off"):
        download.fetch("toy", tmp_path / "toy")
    assert len(host.requests) == 4


def test_another_size_is_noticed_before_it_is_loaded(tmp_path: Path, host: Host, publish: Publish) -> None:
    publish(zipped(toy_members()))
    size = len(host.body)
    host.body = host.body[:-10]
    with pytest.raises(EnvironmentFault, match=f"the server offers {size - 10} bytes instead of {size}"):
        download.fetch("toy", tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_hash_deletes_nothing(tmp_path: Path, host: Host, publish: Publish) -> None:
    publish(zipped(toy_members()), sha256="0" * 64)
    for _ in range(2):
        with pytest.raises(
            EnvironmentFault, match=r"toy\.zip\.part has the SHA-256 .* instead of 000.*\n  move .* away, or"
        ):
            download.fetch("toy", tmp_path / "toy")
        assert [path.name for path in tmp_path.iterdir()] == ["toy.zip.part"]
    assert len(host.requests) == 1


def test_an_archive_put_there_by_hand_is_used(tmp_path: Path, host: Host, publish: Publish) -> None:
    publish(zipped(toy_members()))
    (tmp_path / "toy.zip").write_bytes(host.body)
    (tmp_path / "toy").mkdir()  # an empty folder is no obstacle
    download.fetch("toy", tmp_path / "toy")
    assert contents(tmp_path / "toy") == toy_members()
    assert host.requests == []


def test_a_cut_archive_put_there_by_hand_is_refused(tmp_path: Path, host: Host, publish: Publish) -> None:
    publish(zipped(toy_members()))
    (tmp_path / "toy.zip").write_bytes(host.body[:-1])
    with pytest.raises(EnvironmentFault, match=rf"toy\.zip has {len(host.body) - 1} bytes instead of {len(host.body)}"):
        download.fetch("toy", tmp_path / "toy")
    assert (tmp_path / "toy.zip").exists()


def test_without_network_it_says_what_to_do_by_hand(
    tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(zipped(toy_members()), sha256="f" * 64)
    monkeypatch.setenv("GANFORGE_ARCHIVES", "http://127.0.0.1:1")
    with pytest.raises(EnvironmentFault) as fault:
        download.fetch("toy", tmp_path / "toy")
    message = str(fault.value)
    assert message.startswith("cannot download toy: [Errno 111] Connection refused\n  try again")
    assert "    from     http://127.0.0.1:1/cyclegan/datasets/toy.zip\n" in message
    assert f"    to       {tmp_path / 'toy.zip'}\n" in message
    assert f"    size     {ARCHIVES['toy'].size} bytes\n" in message
    assert f"    SHA-256  {'f' * 64}" in message


def test_a_missing_archive_is_asked_for_once(
    tmp_path: Path, host: Host, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(zipped(toy_members()))
    monkeypatch.setenv(
        "GANFORGE_ARCHIVES", ARCHIVES["toy"].url.removesuffix("/cyclegan/datasets/toy.zip") + "/elsewhere"
    )
    with pytest.raises(EnvironmentFault, match="HTTP Error 404"):
        download.fetch("toy", tmp_path / "toy")
    assert len(host.requests) == 1


def test_a_full_disk_is_said(tmp_path: Path, host: Host, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    publish(zipped(toy_members()))
    monkeypatch.setattr(download, "_append", full)
    with pytest.raises(EnvironmentFault, match=r"cannot put toy into .*: \[Errno 28\] No space left on device"):
        download.fetch("toy", tmp_path / "toy")


def test_a_terminal_sees_a_bar_that_goes_away(
    tmp_path: Path, host: Host, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(download, "Console", lambda **_: Console(file=screen, force_terminal=True, width=120))
    publish(zipped(toy_members()))
    download.fetch("toy", tmp_path / "toy")
    assert "downloading toy" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")  # up, and the line erased


@pytest.mark.parametrize(
    "name", ["../escaped.jpg", "toy/../../escaped.jpg", "/tmp/escaped.jpg", "C:escaped", "..\\escaped.jpg"]
)
def test_an_escaping_zip_is_refused(tmp_path: Path, publish: Publish, name: str) -> None:
    publish(zipped(toy_members() | {name: b"evil"}))
    with pytest.raises(EnvironmentFault, match=r"cannot unpack .*toy\.zip: its member .*escaped.* outside"):
        download.fetch("toy", tmp_path / "a/toy")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "toy.zip"]


def test_a_link_in_a_zip_is_refused(tmp_path: Path, publish: Publish) -> None:
    file = io.BytesIO(zipped(toy_members()))
    with zipfile.ZipFile(file, "a") as archive:
        link = zipfile.ZipInfo("toy/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")
    publish(file.getvalue())
    with pytest.raises(EnvironmentFault, match="its member 'toy/link' would be written outside"):
        download.fetch("toy", tmp_path / "toy")


def test_an_archive_without_the_folders_is_refused(tmp_path: Path, publish: Publish) -> None:
    publish(zipped({"toy/trainA/1.jpg": b"1"}))
    with pytest.raises(EnvironmentFault, match="lacks pictures in one of trainA, trainB, testA, testB below toy/"):
        download.fetch("toy", tmp_path / "toy")
    assert [path.name for path in tmp_path.iterdir()] == ["toy.zip"]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, host: Host, publish: Publish) -> None:
    publish(zipped(toy_members()))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/mine.txt").write_text("mine")
    with pytest.raises(EnvironmentFault, match=r"is not empty, but lacks pictures .*\n  move it away"):
        download.fetch("toy", tmp_path / "toy")
    assert host.requests == []


def tarred(members: dict[str, bytes], link: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo("toy/link")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)
    return file.getvalue()


def put_tar(folder: Path, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive("toy", PurePosixPath("pix2pix/datasets/toy.tar.gz"), len(body), None, ("train", "val"))
    monkeypatch.setitem(ARCHIVES, "toy", archive)  # type: ignore[misc]
    (folder / "toy.tar.gz").write_bytes(body)


def test_a_tar_without_a_hash_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {"toy/train/1.jpg": b"1", "toy/val/2.jpg": b"2"}
    put_tar(tmp_path, tarred(members), monkeypatch)
    download.fetch("toy", tmp_path / "toy")
    assert contents(tmp_path / "toy") == members


@pytest.mark.parametrize(("members", "link"), [({"../escaped": b"x"}, ""), ({"toy/train/1.jpg": b"x"}, "/etc")])
def test_an_escaping_tar_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], link: str
) -> None:
    put_tar(tmp_path, tarred(members, link), monkeypatch)
    with pytest.raises(EnvironmentFault, match=r"cannot unpack .*toy\.tar\.gz"):
        download.fetch("toy", tmp_path / "toy")
    assert [path.name for path in tmp_path.rglob("*")] == ["toy.tar.gz"]


def test_a_cut_tar_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_tar(tmp_path, tarred({"toy/train/1.jpg": bytes(range(256)) * 90})[:150], monkeypatch)
    with pytest.raises(EnvironmentFault, match=r"cannot unpack .*toy\.tar\.gz"):
        download.fetch("toy", tmp_path / "toy")


def test_a_dataset_fetches_what_it_names(tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(zipped(toy_members()))
    monkeypatch.setitem(archives.UNPAIRED, "toy", ARCHIVES["toy"])  # type: ignore[misc]
    dataset = UnpairedFolders(tmp_path / "toy", download="toy")
    assert not (tmp_path / "toy").exists()  # a constructor touches no file
    dataset.prepare()
    assert len(dataset.train()) == 2


def test_the_table_is_well_formed() -> None:
    assert len(ARCHIVES) == 12
    assert "cityscapes" not in ARCHIVES
    for name, archive in ARCHIVES.items():
        assert archive.name == name
        assert archive.sha256 is None or len(archive.sha256) == 64
    facades = ARCHIVES["pix2pix_facades"]
    assert facades.url == "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/facades.tar.gz"
    assert facades.top == "facades"
