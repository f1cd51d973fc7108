"""Fetching a published archive: resumed where it broke off, checked against its hash, unpacked in one go."""

from __future__ import annotations

import http.client
import os
import ssl
import stat
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ganforge.builtin.datasets.archives import Archive, archive
from ganforge.core.files import sha256_of
from ganforge.errors import EnvironmentFault

TIMEOUT_S = 30.0
PAUSES_S = (1.0, 2.0)  # between attempts that brought nothing; then it gives up
_CHUNK = 1 << 20
NETWORK_FAULTS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


def fetch(name: str, folder: Path) -> None:
    """Bring a published benchmark into `folder`; nothing happens if it is there.

    The archive is kept beside the folder, as `horse2zebra.zip`; one that was put there by hand is used. While it is
    incomplete it is called `horse2zebra.zip.part`, and the next call goes on from its end. Let one process call it.

    Raises:
        ValueError: there is no benchmark of that name.
        EnvironmentFault: no network, a wrong size or hash, a full disk, or a folder that holds something else.
    """
    wanted = archive(name)
    if wanted.is_whole(folder):
        return
    if folder.exists() and any(folder.iterdir()):
        raise EnvironmentFault(
            f"{folder} is not empty, but lacks pictures in one of {', '.join(wanted.folders)}",
            f"move it away to fetch {name} there, or remove `download` to use what it holds",
        )
    file = folder.parent / wanted.path.name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            part = file.with_name(f"{file.name}.part")
            _download(wanted, part)
            _verify(wanted, part)
            part.replace(file)
        else:
            _verify(wanted, file)
        unpack(file, wanted, folder)
    except OSError as error:
        raise EnvironmentFault(f"cannot put {name} into {folder}: {error}") from error


def _download(wanted: Archive, part: Path) -> None:
    """Make `part` as long as the archive is, in as many attempts as it takes while each brings something."""
    barren = 0
    with _progress(wanted, _size(part)) as show:
        while (had := _size(part)) < wanted.size:
            try:
                _append(wanted, part, show)
                reason = "the connection broke off"
            except NETWORK_FAULTS as error:
                reason = str(error).removeprefix("<urlopen error ").removesuffix(">")
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    raise _unreachable(wanted, part, reason) from error
            if _size(part) > had:
                barren = 0
            elif barren < len(PAUSES_S):
                time.sleep(PAUSES_S[barren])
                barren += 1
            else:
                raise _unreachable(wanted, part, reason)


def _append(wanted: Archive, part: Path, show: Callable[[int], None]) -> None:
    """One request for the rest of the archive; it may end early."""
    had = _size(part)
    request = urllib.request.Request(wanted.url, headers={"Range": f"bytes={had}-"} if had else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if not resumed:  # the server knows no ranges, and sends it from the start
            had = 0
        if (length := response.headers["Content-Length"]) and had + int(length) != wanted.size:
            raise _unreachable(wanted, part, f"the server offers {had + int(length)} bytes instead of {wanted.size}")
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK):
                had += file.write(chunk)
                show(had)


def _unreachable(wanted: Archive, part: Path, reason: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"cannot download {wanted.name}: {reason}",
        "try again to go on where it stopped, or fetch it by hand on another machine:\n"
        f"  from     {wanted.url}\n"
        f"  to       {part.with_suffix('').resolve()}\n"
        f"  size     {wanted.size} bytes\n"
        f"  SHA-256  {wanted.sha256 or 'not published'}",
    )


def _verify(wanted: Archive, file: Path) -> None:
    """Check the size and hash of what stands on the disk: resumed parts and files put there by hand alike."""
    size, cure = _size(file), f"move {file} away, or delete it, and try again"
    if size != wanted.size:
        raise EnvironmentFault(f"{file} has {size} bytes instead of {wanted.size}", cure)
    sha256 = sha256_of(file)
    if wanted.sha256 and sha256 != wanted.sha256:
        raise EnvironmentFault(f"{file} has the SHA-256 {sha256} instead of {wanted.sha256}", cure)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


@contextmanager
def _progress(wanted: Archive, had: int) -> Iterator[Callable[[int], None]]:
    """Yields a function that shows how many bytes there are: a bar on a terminal, two lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        start = f" from byte {had} on" if had else ""
        console.print(f"downloading {wanted.url} ({wanted.size / 1e6:.0f} MB){start}", soft_wrap=True)
        yield lambda _: None
        console.print(f"downloaded {wanted.name}")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(f"downloading {wanted.name}", total=wanted.size, completed=had)
        yield lambda done: bar.update(task, completed=done)


# Unpacking an archive that is not trusted into a folder that is either whole or not there


def unpack(file: Path, wanted: Archive, folder: Path) -> None:
    """Unpack the zip or tar `file` so that `folder` holds `wanted.folders`.

    Raises:
        EnvironmentFault: the archive is broken, lacks one of the folders, or has a member that would be written
            elsewhere; then `folder` is as it was.
    """
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        staged = Path(name)
        try:
            _extract(file, staged)
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
            raise EnvironmentFault(f"cannot unpack {file}: {error}", "nothing of it is used; fetch it anew") from error
        if not wanted.is_whole(staged / wanted.top):
            raise EnvironmentFault(f"{file} lacks pictures in one of {', '.join(wanted.folders)} below {wanted.top}/")
        _flush(staged / wanted.top)
        if folder.exists():
            folder.rmdir()  # empty, and Windows renames onto no folder
        (staged / wanted.top).rename(folder)
    flush_folder(folder.parent)


def _extract(file: Path, staged: Path) -> None:
    if file.suffix != ".zip":
        with tarfile.open(file) as tar:
            tar.extractall(staged, filter="data")
        return
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            _refuse_escape(member)
        archive.extractall(staged)


def _refuse_escape(member: zipfile.ZipInfo) -> None:
    """zipfile itself quietly puts such members elsewhere; an honest archive has none."""
    path = PureWindowsPath(member.filename)  # knows both separators, and drives
    if path.anchor or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
        raise zipfile.BadZipFile(f"its member '{member.filename}' would be written outside of the folder")


def _flush(folder: Path) -> None:
    """Have everything below the folder on the disk before its rename says that it is whole."""
    for parent, _, files in os.walk(folder):
        for name in files:
            with Path(parent, name).open("rb+") as file:
                os.fsync(file.fileno())
        flush_folder(Path(parent))


def flush_folder(folder: Path) -> None:
    if os.name == "nt":  # has no handles of folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
