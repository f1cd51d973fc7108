"""Unpacking what may come from anybody: every name, size and hash is checked, and nothing of a faulty bundle stays."""

from __future__ import annotations

import functools
import hashlib
import json
import stat
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from ganforge.errors import EnvironmentFault, UsageError
from ganforge.sharing.bundle import contents as form
from ganforge.sharing.bundle.contents import HEAD, Contents, Entry

CHUNK = 2**20
ENCRYPTED = 0x1
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError, RuntimeError)

_places: list[tempfile.TemporaryDirectory[str]] = []
"""Folders that are removed when the process ends."""


@dataclass(frozen=True)
class Unpacked:
    """A bundle as the run's folder that it was packed of."""

    contents: Contents
    folder: Path
    data: dict[str, Any]
    """The files of the dataset, as `data_manifest` listed them."""


def is_bundle(path: Path) -> bool:
    """Whether a path that was given for a run or a recipe can only mean a bundle."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix == ".zip" or file.read(4) == b"PK\x03\x04"


def unpack(bundle: Path) -> Unpacked:
    """A bundle's run in a temporary place, which lasts as long as this process.

    Raises:
        UsageError: it is no bundle.
        EnvironmentFault: it is damaged, holds what no bundle holds, or there is no room for it.
    """
    about = bundle.stat()
    return _unpack(bundle, about.st_size, about.st_mtime_ns)


@functools.cache
def _unpack(bundle: Path, size: int, _modified: int) -> Unpacked:
    place = tempfile.TemporaryDirectory(prefix="ganforge-bundle-")
    try:
        with zipfile.ZipFile(bundle) as archive:
            contents = _contents(bundle, archive)
            _check_members(bundle, archive, contents, size)
            folder = Path(place.name) / contents.recipe / contents.run
            for name, entry in contents.entries.items():
                _extract(bundle, archive, name, entry, folder / name)
        _check_manifest(bundle, folder / "checkpoints" / contents.checkpoint / "manifest.json")
        data = _data(bundle, folder)
        _check_recipe(bundle, folder / "recipe.yaml")
    except BaseException as error:
        place.cleanup()
        if isinstance(error, BROKEN):
            _refuse(bundle, str(error) or type(error).__name__, error)
        if isinstance(error, OSError):
            raise EnvironmentFault(f"cannot unpack {bundle}: {error}") from error
        raise
    _places.append(place)
    return Unpacked(contents, folder, data)


def _refuse(bundle: Path, why: str, cause: BaseException | None = None) -> NoReturn:
    raise EnvironmentFault(
        f"the bundle {bundle} is damaged, or was tampered with: {why}", "nothing of it is used; get it anew"
    ) from cause


def _contents(bundle: Path, archive: zipfile.ZipFile) -> Contents:
    """What a bundle says of itself, if it is in this format."""
    if HEAD not in archive.namelist():
        raise UsageError(f"{bundle} is no bundle of a run: it has no {HEAD}; `ganforge bundle RUN` packs one")
    with archive.open(HEAD) as file:
        text = file.read(form.MAX_HEAD_BYTES + 1)
    if len(text) > form.MAX_HEAD_BYTES:
        _refuse(bundle, f"its {HEAD} is larger than {form.MAX_HEAD_BYTES >> 20} MiB")
    try:
        head = json.loads(text)
        if isinstance(head, dict) and isinstance(made := head.get("format"), int) and made != form.FORMAT:
            raise UsageError(f"{bundle} has format {made}, and this ganforge reads format {form.FORMAT}: upgrade it")
        return Contents.model_validate(head)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        _refuse(bundle, f"{HEAD}: {place}: {first['msg']}", error)
    except RecursionError as error:
        _refuse(bundle, f"{HEAD} is nested too deeply", error)


def _check_members(bundle: Path, archive: zipfile.ZipFile, contents: Contents, size: int) -> None:
    """The zip's own directory must hold exactly what the head lists, and no more than the file has room for."""
    members = archive.infolist()
    if len(members) > form.MAX_ENTRIES + 1:
        _refuse(bundle, f"it has {len(members)} entries")
    names = [member.filename for member in members]
    if strange := next((name for name in names if name != HEAD and not form.ENTRY.fullmatch(name)), None):
        _refuse(bundle, f"it holds {strange!r}, which no bundle holds")
    if len(set(names)) < len(names) or set(names) != {HEAD, *contents.entries}:
        _refuse(bundle, "its entries are not those that it lists")
    required = [*form.REQUIRED, *(f"checkpoints/{contents.checkpoint}/{name}" for name in form.CHECKPOINT)]
    if lacking := [name for name in required if name not in names]:
        _refuse(bundle, f"it lacks {', '.join(lacking)}")
    if other := next(
        (n for n in names if n.startswith("checkpoints/") and n.split("/")[1] != contents.checkpoint), None
    ):
        _refuse(bundle, f"it holds {other}, of another checkpoint than its own")
    if sum(member.file_size for member in members if member.compress_type != zipfile.ZIP_STORED) > form.MAX_TEXT_BYTES:
        _refuse(bundle, f"it unpacks to more than {form.MAX_TEXT_BYTES >> 20} MiB of text")
    if sum(member.compress_size for member in members) > size:
        _refuse(bundle, "its entries lie on top of each other")
    for member in members:
        mode = stat.S_IFMT(member.external_attr >> 16)
        if mode not in (0, stat.S_IFREG) or member.flag_bits & ENCRYPTED:
            _refuse(bundle, f"{member.filename} is no plain file")
        if member.filename != HEAD and member.file_size != contents.entries[member.filename].size:
            _refuse(bundle, f"{member.filename} is not as large as it should be")
        if member.compress_type == zipfile.ZIP_STORED:
            if member.compress_size != member.file_size:
                _refuse(bundle, f"{member.filename} is not as large as it should be")
        elif member.compress_type != zipfile.ZIP_DEFLATED:
            _refuse(bundle, f"{member.filename} is packed as no bundle packs it")


def _extract(bundle: Path, archive: zipfile.ZipFile, name: str, entry: Entry, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), entry.size
    with archive.open(name) as source, target.open("wb") as file:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:  # whatever the zip's directory said
                break
            digest.update(chunk)
            file.write(chunk)
    if left or digest.hexdigest() != entry.sha256:
        _refuse(bundle, f"{name} is not what was packed")


def _check_manifest(bundle: Path, manifest: Path) -> None:
    """Whoever reads the checkpoint hashes the files that its manifest names, and must not be led elsewhere."""
    try:
        named = json.loads(manifest.read_text(encoding="utf-8"))
    except RecursionError as error:
        _refuse(bundle, "the checkpoint's manifest is nested too deeply", error)
    if not isinstance(named, dict) or set(named) != set(form.CHECKPOINT) - {"manifest.json"}:
        _refuse(bundle, "the checkpoint's manifest lists other files than a checkpoint has")


def _check_recipe(bundle: Path, recipe: Path) -> None:
    """A run's recipe is resolved; one that is not would read other files of this machine."""
    from ganforge.recipe.nodes import read

    if "extends" in read(recipe).mapping():
        _refuse(bundle, "its recipe extends another")


def _data(bundle: Path, folder: Path) -> dict[str, Any]:
    try:
        data = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        for entry in data["paths"].values():
            sound = isinstance(entry["path"], str) and all(
                [type(part) for part in row] == [str, int, str] for row in entry["files"] or ()
            )
            if not sound:
                raise TypeError("its rows are no files")
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        _refuse(bundle, f"data.json lists no data: {error}", error)
    return dict(data)
