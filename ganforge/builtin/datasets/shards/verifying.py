"""Reading a whole pack again: is every shard what the index says?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ganforge.builtin.datasets.shards.index import Shard
from ganforge.builtin.datasets.shards.store import Local
from ganforge.builtin.datasets.shards.tars import read_sample

_CHUNK = 1 << 20


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
        for chunk in _chunks(file):
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


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
