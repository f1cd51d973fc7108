"""Making a pack: shards beside their place, the index last, and one rename when all is there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from pydantic import ValidationError

from ganforge import EnvironmentFault, UsageError, images
from ganforge.builtin.datasets.download import flush_folder
from ganforge.builtin.datasets.shards import index as indices
from ganforge.builtin.datasets.shards.drafts import Draft, Item, classes_of
from ganforge.builtin.datasets.shards.index import Index, Layout, Shard
from ganforge.builtin.datasets.shards.tars import LIST_KEY, LIST_SUFFIX, encode_sizes
from ganforge.images.depths import Unfit

_JOURNAL = "journal.jsonl"
_LOCK = "lock"
LABEL = "cls"
"""The suffix of a class's number, as the webdataset library has it."""
_THREADS = min(8, os.cpu_count() or 1)

Tell = Callable[[int], None]


def pack(root: Path, drafts: list[Draft], layout: Layout, seed: int, out: Path, force: bool, tell: Tell) -> Index:
    """Write the shards that are drafted, and the index, into the folder `out`, which is there whole or not at all.

    Every picture is decoded once, to find the broken ones. What was written before an interruption stays beside `out`
    in a hidden folder; the next call keeps those shards of it whose files are unchanged.

    Args:
        out: where to; the parent folders are made.
        force: replace a pack that is there.
        tell: told how many bytes were packed since the last time.

    Raises:
        UsageError: `out` is something else already, or is being packed.
        EnvironmentFault: webdataset is not installed, a picture is broken, the disk is full.
    """
    _need_webdataset()
    _refuse_others(out, force)
    place = out.resolve()
    staged = place.parent / f".{place.name}.part"
    try:
        staged.mkdir(parents=True, exist_ok=True)
        with FileLock(staged / _LOCK, timeout=0):
            index = _fill(staged, root, drafts, layout, seed, tell)
        _swap(staged, place)
        for name in (_JOURNAL, _LOCK):
            (place / name).unlink(missing_ok=True)
    except Timeout:
        raise UsageError(f"{out} is being packed by another process") from None
    except OSError as error:
        raise EnvironmentFault(f"cannot pack into {out}: {error}") from error
    return index


def _need_webdataset() -> None:
    try:
        import webdataset  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault("packing needs webdataset: pip install 'ganforge[shards]'") from error


def _refuse_others(out: Path, force: bool) -> None:
    if out.is_mount():
        raise UsageError(f"{out} is the root of a disk, which cannot be renamed; give a folder in it as -o")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / indices.NAME).is_file():
        raise UsageError(f"{out} is there, and no pack of shards; give another -o")
    if not force:
        raise UsageError(f"{out} is a pack already; give another -o, or replace it with --force")


def _fill(staged: Path, root: Path, drafts: list[Draft], layout: Layout, seed: int, tell: Tell) -> Index:
    done = _journal(staged)
    todo = [draft for draft in drafts if done.get(draft.name, {}).get("of") != draft.fingerprint(root)]
    missing = {draft.name for draft in todo}
    kept = {draft.name for draft in drafts} - missing
    for left in staged.iterdir():  # by an earlier call
        if left.name not in {*kept, _JOURNAL, _LOCK}:
            left.unlink()
    _need_room(staged, sum(draft.bytes for draft in todo))
    shards: dict[str, list[Shard]] = {}
    with (staged / _JOURNAL).open("a") as journal:
        for draft in drafts:
            if draft.name in missing:
                shard = _write(staged, draft, tell)
                row = {"of": draft.fingerprint(root), "shard": shard.model_dump()}
                journal.write(f"{json.dumps(row)}\n")
                journal.flush()
            else:
                shard = Shard.model_validate(done[draft.name]["shard"])
                tell(shard.bytes)
            shards.setdefault(draft.split, []).append(shard)
    splits = {split: tuple(found) for split, found in shards.items()}
    index = Index(layout=layout, seed=seed, splits=splits, classes=classes_of(root, layout))
    with (staged / indices.NAME).open("w") as file:
        without = None if index.classes else {"classes"}  # which older readers do not know
        file.write(f"{index.model_dump_json(indent=1, exclude=without)}\n")
        file.flush()
        os.fsync(file.fileno())
    flush_folder(staged)
    return index


def _journal(staged: Path) -> dict[str, Any]:
    """The shards that are whole, by name: each with the fingerprint of what it was made of."""
    found: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        for line in (staged / _JOURNAL).read_text().splitlines():
            with suppress(ValueError, KeyError, TypeError, ValidationError, FileNotFoundError):  # the last, cut off
                row = json.loads(line)
                shard = Shard.model_validate(row["shard"])
                if (staged / shard.name).stat().st_size == shard.bytes:
                    found[shard.name] = row
    return found


def _need_room(staged: Path, needed: int) -> None:
    free = shutil.disk_usage(staged).free
    if needed > free:
        raise EnvironmentFault(
            f"the shards need {needed / 2**30:.2f} GiB, but {staged.parent} has {free / 2**30:.2f} GiB free",
            "give an -o on another disk",
        )


def _write(staged: Path, draft: Draft, tell: Tell) -> Shard:
    part = staged / f"{draft.name}.part"
    with part.open("wb") as file:
        hashed = _Hashed(file)
        with _writer(hashed) as tar:
            tar.write({"__key__": LIST_KEY, LIST_SUFFIX: encode_sizes(draft.sizes)})
            for number, files in enumerate(_loaded(draft.items), draft.first):
                tar.write({"__key__": f"{number:09}", **files})
                tell(sum(map(len, files.values())))
        file.flush()
        os.fsync(file.fileno())
    part.replace(staged / draft.name)
    flush_folder(staged)
    tell(hashed.size - sum(draft.sizes))
    return Shard(name=draft.name, samples=len(draft.items), bytes=hashed.size, sha256=hashed.sha256.hexdigest())


def _writer(file: _Hashed) -> Any:
    """Bytes go in as they are, and nothing of the day, the user or the machine with them."""
    from webdataset import TarWriter

    return TarWriter(file, user="", group="", mtime=0, encoder=False, compress=False)


class _Hashed:
    """A file that is only written to, and its hash."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size, self.sha256 = file, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write all of `data`, and hash it."""
        self.sha256.update(data)
        self.size += len(data)
        return self.file.write(data)


def _loaded(items: Iterable[Item]) -> Iterator[Mapping[str, bytes]]:
    """The files of each sample by their suffixes, read and decoded by threads that are a little ahead."""
    ahead: deque[Future[Mapping[str, bytes]]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for item in items:
            ahead.append(pool.submit(_load, item))
            if len(ahead) > 2 * _THREADS:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _load(item: Item) -> Mapping[str, bytes]:
    found = {}
    for letter, file, size in zip("ab", item.files, item.sizes, strict=False):
        data = file.read_bytes()
        if len(data) != size:
            raise EnvironmentFault(f"{file} is being changed; pack when nothing writes there any more")
        suffix = file.suffix.lower().removeprefix(".")
        alone = len(item.files) == 1 and item.label is None  # else the letter keeps the order: it is by name
        found[suffix if alone else f"{letter}.{suffix}"] = data
        try:
            images.decode_image(data)
        except ValueError as error:
            if isinstance(error.__cause__, Unfit):  # decoded, but no plain picture: a recipe will say what it is
                continue
            raise EnvironmentFault(
                f"cannot pack {file}: {error}",
                "replace it, or take it out, and call again: it goes on. `ganforge data inspect` finds all such files",
            ) from error
    if item.label is not None:
        found[LABEL] = str(item.label).encode()
    return found


def _swap(staged: Path, out: Path) -> None:
    """Put the new pack where the old one may be."""
    old = out.parent / f".{out.name}.old"
    if old.exists():
        shutil.rmtree(old)
    if out.exists():
        out.rename(old)
    staged.rename(out)
    flush_folder(out.parent)
    if old.exists():
        shutil.rmtree(old)
