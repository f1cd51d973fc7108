"""The inside of a shard: a plain tar whose first file lists the sizes of all others, so that one read finds each.

Every member has one header of 512 bytes, and is filled up to a multiple of 512. The list's name tells webdataset, which
reads shards too, that it is no sample.
"""

from __future__ import annotations

import json
import os
import tarfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from ganforge.builtin.datasets.shards.index import Shard

BLOCK = tarfile.BLOCKSIZE
LIST_KEY, LIST_SUFFIX = "__sizes", "json__"
LIST = f"{LIST_KEY}.{LIST_SUFFIX}"


def encode_sizes(sizes: Sequence[int]) -> bytes:
    """The first file of a shard whose members have these sizes."""
    return json.dumps(list(sizes), separators=(",", ":")).encode()


def room(size: int) -> int:
    """Bytes that a file of a size takes in a tar: a header, and the next multiple of a block."""
    return BLOCK + -(-size // BLOCK) * BLOCK


def size_of_tar(sizes: Sequence[int]) -> int:
    """Bytes of a shard whose members have these sizes."""
    whole = room(len(encode_sizes(sizes))) + sum(map(room, sizes)) + 2 * BLOCK
    return -(-whole // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def read_sample(path: Path, shard: Shard, number: int, members: int) -> list[bytes]:
    """The files of sample `number` of a shard, of `members` files each.

    Raises:
        OSError: it cannot be read, or has gone.
        ValueError: it is not what its list, or its entry in the index, says.
    """
    places = _places(path, shard, members)
    first = number * members
    start, end = places.headers[first], places.headers[first + members]
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(end - start)
    found = []
    for member in range(first, first + members):
        header, size = places.headers[member] - start, places.sizes[member]
        if _header(data[header : header + BLOCK]).size != size:
            raise ValueError(f"its list says that file {member} has {size} bytes, but the file's header does not")
        content = data[header + BLOCK : header + BLOCK + size]
        if len(content) != size:
            raise ValueError(f"it ends within file {member}")
        found.append(content)
    return found


@dataclass(frozen=True)
class _Places:
    """Where each member's header is, and how large the member; at the end the place behind the last."""

    headers: array[int]
    sizes: array[int]


@lru_cache(maxsize=256)
def _places(path: Path, shard: Shard, members: int) -> _Places:
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) != shard.bytes:
            raise ValueError(f"it has {size} bytes instead of {shard.bytes}")
        first = _header(file.read(BLOCK))
        if first.name != LIST or first.size > shard.bytes:
            raise ValueError(f"it does not begin with {LIST}")
        text = file.read(first.size)
    sizes = _sizes(text)
    if len(sizes) != shard.samples * members:
        raise ValueError(f"it lists {len(sizes)} files instead of {shard.samples * members}")
    headers = array("Q", accumulate(map(room, sizes), initial=room(len(text))))
    if headers[-1] > shard.bytes:
        raise ValueError("the files that it lists are larger than itself")
    return _Places(headers, sizes)


def _sizes(text: bytes) -> array[int]:
    try:
        return array("Q", json.loads(text))
    except (TypeError, OverflowError, RecursionError, ValueError) as error:
        raise ValueError(f"{LIST} is no list of sizes") from error


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise ValueError(f"a header is broken: {error}") from error
    if not header.isreg():
        raise ValueError("it holds something that is no plain file")
    return header
