"""Unpacking an archive that is not trusted into a folder that is either whole or not there."""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from ganforge.builtin.datasets.archives import Archive
from ganforge.errors import EnvironmentFault


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
