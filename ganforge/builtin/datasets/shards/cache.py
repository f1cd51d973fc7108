"""Shards from a URL on this machine's disk: as many as there is room for, those unused for longest leave first.

A shard's name is its SHA-256, so that packs, processes and ranks share it. Whoever needs one that is missing takes a
lock, brings it beside its place, checks it, and renames it; the others wait for the lock and find it there. A file that
is being brought has its full size from the start, so that all processes together keep to the bound. Locks are files'
own: a process that dies leaves none behind.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from filelock import FileLock, Timeout
from pydantic import Field

from ganforge import EnvironmentFault
from ganforge.builtin.datasets.shards.index import Shard
from ganforge.builtin.datasets.shards.transfer import transfer
from ganforge.core.files import sha256_of
from ganforge.images.listing import did_you_mean

FOLDER = "~/.cache/ganforge/shards"
Gibibytes = Annotated[float, Field(gt=0)]

_LOCKS = 64  # for all shards, so that locks do not pile up
_POLL_S = 0.1
_OURS = re.compile(r"[0-9a-f]{64}\.(tar|part)")  # nothing else is dropped, whatever folder we are given


@dataclass(frozen=True)
class Cache:
    """A folder that holds at most so many bytes of shards."""

    folder: Path
    most_bytes: int

    def bring(self, shard: Shard, url: str) -> Path:
        """The shard's file, fetched from its URL if it is not there. Another process may drop it at any time.

        Raises:
            EnvironmentFault: it cannot be fetched, has another size or hash, or there is no room.
        """
        file = self.folder / f"{shard.sha256}.tar"
        if _take(file, shard):
            return file
        self.make()
        try:
            with self._lock(_lock_of(file)):
                if not _take(file, shard):
                    self._fetch(file, shard, url)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot keep {url} in {self.folder}: {error}", "`cache_dir` names another folder"
            ) from error
        return file

    def make(self) -> None:
        """Make the folder; but not those around it, unless it is the default: it may be mistyped.

        Raises:
            EnvironmentFault: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=self.folder == Path(FOLDER).expanduser(), exist_ok=True)
        except FileNotFoundError as error:
            raise EnvironmentFault(
                f"cannot keep shards in {self.folder}: there is no folder {self.folder.parent}"
                f"{did_you_mean(self.folder.parent)}",
                "make it, or let `cache_dir` name another folder",
            ) from error
        except OSError as error:
            raise EnvironmentFault(
                f"cannot keep shards in {self.folder}: {error}", "`cache_dir` names another folder"
            ) from error

    def _fetch(self, file: Path, shard: Shard, url: str) -> None:
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)  # of a process that died, as we have the lock
        while not self._reserve(part, shard.bytes):
            time.sleep(_POLL_S)  # others are bringing theirs
        try:
            with part.open("rb+") as stream:
                transfer(url, stream, shard.bytes)
                stream.flush()
                os.fsync(stream.fileno())
                _check(stream.seek(0, os.SEEK_END), part, shard, url)
            with self._lock("room"):  # or whoever adds up just now sees it under neither name
                part.replace(file)
        finally:
            part.unlink(missing_ok=True)

    def _reserve(self, part: Path, size: int) -> bool:
        """Make room and take it; without success where the room that is left is being filled by others."""
        if size > self.most_bytes:
            raise EnvironmentFault(f"a shard has {size} bytes, the cache in {self.folder} at most {self.most_bytes}")
        with self._lock("room"):
            files = self._files()
            used = sum(length for _, length, _ in files)
            for file, length, _ in sorted(files, key=lambda entry: entry[2]):
                if used + size <= self.most_bytes:
                    break
                if (file.suffix == ".tar" or self._is_left_over(file, part)) and _drop(file):
                    used -= length
            if used + size > self.most_bytes:
                return False
            with part.open("wb") as stream:
                stream.truncate(size)
            return True

    def _files(self) -> list[tuple[Path, int, float]]:
        """The shards that are here, or on their way: each with its size and when it was used."""
        found = []
        for file in self.folder.iterdir():
            if _OURS.fullmatch(file.name):
                with suppress(FileNotFoundError):  # it was given up just now
                    status = file.stat()
                    found.append((file, status.st_size, status.st_mtime))
        return found

    def _is_left_over(self, other: Path, part: Path) -> bool:
        """Whether nobody brings this file any more."""
        if _lock_of(other) == _lock_of(part):  # which is ours
            return True
        try:
            with FileLock(self.folder / _lock_of(other), timeout=0):
                return True
        except Timeout:
            return False

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.folder / name)


def _drop(file: Path) -> bool:
    """Remove a file, if it can be removed: Windows keeps what another process reads. Say whether it could."""
    try:
        file.unlink(missing_ok=True)
    except PermissionError:
        return False
    return True


def _lock_of(file: Path) -> str:
    return f"lock-{int(file.stem[:8], 16) % _LOCKS:02}"


def _take(file: Path, shard: Shard) -> bool:
    """Whether the shard is there; then it counts as used now."""
    try:
        if file.stat().st_size != shard.bytes:
            return False
        os.utime(file)
    except OSError:
        return False
    return True


def _check(size: int, part: Path, shard: Shard, url: str) -> None:
    """Compare the shard with its size and hash: what counts is what stands on the disk, so it is read again."""
    if size != shard.bytes:
        found = f"{size} bytes instead of {shard.bytes}"
    else:
        sha256 = sha256_of(part)
        if sha256 == shard.sha256:
            return
        found = f"the SHA-256 {sha256} instead of {shard.sha256}"
    raise EnvironmentFault(
        f"{url} has {found}", "it was damaged, or belongs to another pack than the index: publish all files again"
    )
