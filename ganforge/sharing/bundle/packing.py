"""Packing: the same run gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganforge.core.files import sha256_of
from ganforge.errors import EnvironmentFault
from ganforge.sharing.bundle.contents import ENTRY, FORMAT, HEAD
from ganforge.sharing.records import STEP, Record

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: zip knows none before."""
STORED = (".safetensors", ".png")
"""Suffixes of files that deflating makes no smaller, but slower."""
PRIVATE = ("traceback", "process")
"""Entries of `run.json` that say more of a machine than others need to know."""
NO_TENSORS = (8).to_bytes(8, "little") + b"{}      "
"""A safetensors file of none (https://github.com/huggingface/safetensors, Format)."""

Source = bytes | Path


def pack(
    record: Record,
    checkpoint: Path,
    target: Path,
    *,
    code: Mapping[str, Mapping[str, str]],
    data: Mapping[str, Any],
    state: bool = False,
) -> dict[str, int]:
    """Write a run into one file, which appears whole or not at all. Returns the sizes of the entries in bytes.

    Args:
        record: of the run.
        checkpoint: whose weights.
        target: the file.
        code: of the plugins, as `code_of` gives it.
        data: as `data_manifest` gives it.
        state: with all that training goes on from, which is about twice as large again as the weights.

    Raises:
        EnvironmentFault: something of the run cannot be read, or the file not be written.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        sources = _sources(record, checkpoint, data, state)
        entries = {name: _described(source) for name, source in sorted(sources.items())}
        head = {
            "format": FORMAT,
            "recipe": _plain(record.recipe),
            "run": _plain(record.path.resolve().name),
            "checkpoint": checkpoint.name,
            "state": state,
            "plugins": code,
            "machine": record.machine,
            "versions": record.versions,
            "entries": entries,
        }
        _write(part, head, sources)
        part.replace(target)
    except OSError as error:
        raise EnvironmentFault(f"cannot pack {record.path} into {target}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return {name: int(entry["size"]) for name, entry in entries.items()}


def _write(target: Path, head: Mapping[str, Any], sources: Mapping[str, Source]) -> None:
    with target.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            _add(archive, HEAD, _json(head), None)
            for name, entry in head["entries"].items():
                _add(archive, name, sources[name], entry["sha256"])
        file.flush()
        os.fsync(file.fileno())


def _sources(record: Record, checkpoint: Path, data: Mapping[str, Any], state: bool) -> dict[str, Source]:
    """What goes in, by the name that it has there."""
    shown = {key: value for key, value in record.entries.items() if key not in PRIVATE}
    sources: dict[str, Source] = {
        "recipe.yaml": record.path / "recipe.yaml",
        "run.json": _json(shown),
        "data.json": _json(data),
    }
    cards = (record.path / f"evaluation.{suffix}" for suffix in ("json", "md"))
    sources |= {card.name: card for card in cards if card.is_file()}
    for panel in sorted((record.path / "images").glob("*/")):
        steps = [path for path in panel.glob("step_*.png") if STEP.fullmatch(path.stem)]
        if steps:
            latest = max(steps, key=lambda path: int(path.stem.removeprefix("step_")))
            sources[f"images/{panel.name}/{latest.name}"] = latest
    files = {path.name: path for path in checkpoint.iterdir()} if state else _weights(checkpoint)
    sources |= {f"checkpoints/{checkpoint.name}/{name}": source for name, source in files.items()}
    return {name: source for name, source in sources.items() if ENTRY.fullmatch(name)}


def _weights(checkpoint: Path) -> dict[str, Source]:
    """The files of a checkpoint from which training cannot go on."""
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    kept = ("networks.safetensors", "ema.safetensors")
    files: dict[str, Source] = {name: checkpoint / name for name in kept}
    files |= {"training.safetensors": NO_TENSORS, "state.json": _json({"format": state["format"], "training": {}})}
    return files | {"manifest.json": _json({name: _described(source)["sha256"] for name, source in files.items()})}


def _described(source: Source) -> dict[str, Any]:
    if isinstance(source, bytes):
        return {"size": len(source), "sha256": hashlib.sha256(source).hexdigest()}
    return {"size": source.stat().st_size, "sha256": sha256_of(source)}


def _add(archive: zipfile.ZipFile, name: str, source: Source, sha256: str | None) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.create_system = 3  # Unix, on whatever system
    info.external_attr = 0o100644 << 16
    info.compress_type = zipfile.ZIP_STORED if Path(name).suffix in STORED else zipfile.ZIP_DEFLATED
    if isinstance(source, bytes):
        archive.writestr(info, source)
        return
    info.file_size = source.stat().st_size
    with source.open("rb") as file, archive.open(info, "w") as entry:
        shutil.copyfileobj(file, entry, 2**20)
    if _described(source)["sha256"] != sha256:
        raise OSError(f"{source} changed meanwhile: wait for the run to end")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def _plain(name: str) -> str:
    """A name that makes a folder on any system."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".-")[:200] or "run"
