"""Where a pack lies: in a folder, or at a URL with a cache on this machine's disk; and whether all of it is sound."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ganforge import EnvironmentFault
from ganforge.builtin.datasets.shards import index as indices
from ganforge.builtin.datasets.shards.cache import Cache
from ganforge.builtin.datasets.shards.index import Index, Shard, read_index
from ganforge.builtin.datasets.shards.tars import read_sample
from ganforge.builtin.datasets.shards.transfer import transfer
from ganforge.images.listing import did_you_mean

_ATTEMPTS = 10
_CHUNK = 1 << 20


class Store(Protocol):
    """A pack, wherever it lies."""

    def prepare(self, together: int) -> Index:
        """Look for everything, of which the largest `together` shards of a split are read at a time.

        Raises:
            EnvironmentFault: something is missing, or is not what it should be.
        """

    def index(self) -> Index:
        """What the pack holds; after `prepare` it is read from the disk."""

    def read(self, shard: Shard, number: int, members: int) -> list[bytes]:
        """The files of a sample.

        Raises:
            EnvironmentFault: they cannot be read, or fetched.
        """

    def files(self) -> Sequence[Path]:
        """The files on this machine that say what the pack holds."""


def open_store(root: str, cache_dir: str, cache_gib: float) -> Store:
    """The pack at a folder or URL; nothing is read yet.

    Raises:
        ValueError: it is a URL of another kind.
    """
    url = urlsplit(root)
    if url.scheme in ("http", "https"):
        return Remote(root.rstrip("/"), Cache(Path(cache_dir).expanduser(), int(cache_gib * 2**30)))
    if url.scheme == "file":
        return Local(Path(url2pathname(url.path)))
    if "://" in root:
        raise ValueError(f"cannot read from {url.scheme}://; mount it as a folder, or serve it by https://")
    return Local(Path(root).expanduser())


class Local:
    """A pack in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self, together: int) -> Index:
        index = self.index()
        wrong = [fault for shard in index.shards if (fault := self._fault(shard))]
        if wrong:
            more = f", and so with {len(wrong) - 1} more" if len(wrong) > 1 else ""
            raise EnvironmentFault(f"{wrong[0]}{more}", "copy the pack again: an interrupted copy looks like this")
        return index

    def index(self) -> Index:
        file = self.folder / indices.NAME
        try:
            return read_index(file.read_bytes(), str(file))
        except OSError as error:
            raise EnvironmentFault(
                f"{self.folder} is no pack of shards: {file.name}: {error.strerror}{did_you_mean(self.folder)}",
                f"correct `root` (now {self.folder.resolve()}), or make one: "
                f"`ganforge data pack FOLDER -o {self.folder}`",
            ) from error

    def read(self, shard: Shard, number: int, members: int) -> list[bytes]:
        file = self.folder / shard.name
        try:
            return read_sample(file, shard, number, members)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EnvironmentFault(
                f"cannot read from {file}: {reason}",
                f"`ganforge data verify {self.folder}` tells which shards to copy again",
            ) from error

    def files(self) -> Sequence[Path]:
        return [self.folder / indices.NAME, *(self.folder / shard.name for shard in self.index().shards)]

    def _fault(self, shard: Shard) -> str | None:
        file = self.folder / shard.name
        try:
            size = file.stat().st_size
        except OSError as error:
            return f"{file}: {error.strerror}"
        return None if size == shard.bytes else f"{file} has {size} bytes instead of {shard.bytes}"


class Remote:
    """A pack at a URL: shards come when they are needed."""

    def __init__(self, url: str, cache: Cache) -> None:
        self.url, self.cache = url, cache
        self.place = cache.folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"
        """Where the pack's index is kept on this machine."""

    def prepare(self, together: int) -> Index:
        self.cache.make()
        url, fetched = f"{self.url}/{indices.NAME}", io.BytesIO()
        transfer(url, fetched, indices.MOST_BYTES)
        index = read_index(fetched.getvalue(), url)
        trained = [shards for split, shards in index.splits.items() if split.startswith("train")]
        needed = sum(size for shards in trained for size in sorted(shard.bytes for shard in shards)[-together:])
        if needed > self.cache.most_bytes:
            raise EnvironmentFault(
                f"the shards that are read together take {needed / 2**30:.3g} GiB, "
                f"`cache_gib` is {self.cache.most_bytes / 2**30:.3g}",
                "raise it, or lower `mix_shards`, or pack smaller shards",
            )
        self._keep(fetched.getvalue())
        return index

    def index(self) -> Index:
        try:
            return read_index(self.place.read_bytes(), str(self.place))
        except FileNotFoundError:
            return self.prepare(1)

    def read(self, shard: Shard, number: int, members: int) -> list[bytes]:
        for _ in range(_ATTEMPTS):
            file = self.cache.bring(shard, f"{self.url}/{shard.name}")
            try:
                return read_sample(file, shard, number, members)
            except FileNotFoundError:
                continue  # another process needed the room just now
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise EnvironmentFault(
                    f"cannot read from {file}, which is {shard.name}: {reason}", "delete it: it will be fetched again"
                ) from error
        raise EnvironmentFault(
            f"{shard.name} is dropped from {self.cache.folder} before it can be read: others use the same cache",
            "raise `cache_gib`, or give another `cache_dir`",
        )

    def files(self) -> Sequence[Path]:
        # It has the hashes of all shards; which of these are here is a matter of chance.
        return [self.place] if self.place.exists() else []

    def _keep(self, text: bytes) -> None:
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.place.parent, suffix=".json.new", delete=False) as part:
                part.write(text)
            os.replace(part.name, self.place)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot keep shards in {self.place.parent}: {error}", "`cache_dir` names another folder"
            ) from error


@dataclass(frozen=True)
class Damage:
    """A shard that is not what the index says, and why."""

    shard: str
    reason: str


def verify(folder: Path, tell: Callable[[int], None]) -> list[Damage]:
    """Read all shards of a pack; `tell` is told how many bytes were read since the last time.

    Raises:
        EnvironmentFault: there is no index, or a broken one.
    """
    index = Local(folder).index()
    found = ((shard, _fault(folder / shard.name, shard, index.members, tell)) for shard in index.shards)
    return [Damage(shard.name, reason) for shard, reason in found if reason]


def _fault(file: Path, shard: Shard, members: int, tell: Callable[[int], None]) -> str | None:
    try:
        size = file.stat().st_size
        if size != shard.bytes:
            return f"it has {size} bytes instead of {shard.bytes}"
        sha256 = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                sha256.update(chunk)
                tell(len(chunk))
        if sha256.hexdigest() != shard.sha256:
            return f"it has the SHA-256 {sha256.hexdigest()} instead of {shard.sha256}"
        for number in range(shard.samples):
            read_sample(file, shard, number, members)
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:
        return str(error)
    return None
