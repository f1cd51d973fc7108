"""Checkpoints: everything a run needs to go on exactly, whole or not there at all.

A checkpoint is staged in a folder beside, every file is flushed to the disk, and the folder is renamed. A manifest of
SHA-256 sums finds what a disk may have done to it since.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganforge.engine.state import join, split
from ganforge.errors import EnvironmentFault

FORMAT = 1
NAME = re.compile(r"step_(\d{7,})")


@dataclass
class Checkpoint:
    """What is in a checkpoint."""

    networks: dict[str, Tensor]
    ema: dict[str, Tensor]
    training: dict[str, Any]
    """Optimizers, schedules, scalers, ops, random generators, position."""


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in a `checkpoints/` folder, oldest first."""
    found = [path for path in folder.glob("step_*") if NAME.fullmatch(path.name) and (path / "manifest.json").is_file()]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """The number of steps that a checkpoint's run had taken."""
    return int(path.name.removeprefix("step_"))


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and return its folder.

    Raises:
        EnvironmentFault: the disk is full or refuses; earlier checkpoints are untouched.
    """
    final = folder / f"step_{step:07d}"
    staged = folder / f".{final.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        _write(staged, checkpoint)
        if final.exists():  # the same step of an earlier attempt: equal, or damaged
            shutil.rmtree(final)
        staged.rename(final)
        _flush(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(staged, ignore_errors=True)
        raise EnvironmentFault(
            f"the checkpoint of step {step} could not be written to {folder}: {error}\n"
            "  make room or mend the disk, then go on with --resume from the last whole checkpoint"
        ) from error
    return final


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    tensors: dict[str, Tensor] = {}
    state = {"format": FORMAT, "training": split(checkpoint.training, "training", tensors)}
    save_file(_plain(checkpoint.networks), folder / "networks.safetensors")
    save_file(_plain(checkpoint.ema), folder / "ema.safetensors")
    save_file(tensors, folder / "training.safetensors")
    (folder / "state.json").write_text(json.dumps(state))
    sums = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(json.dumps(sums, indent=1))
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors leaves 0600
        _flush(path)
    _flush(folder)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, after checking every byte of it.

    Raises:
        EnvironmentFault: it is damaged, or written by a newer ganforge.
    """
    try:
        sums = _manifest(path)
        for name, expected in sums.items():
            if _sha256(path / name) != expected:
                raise EnvironmentFault(_damaged(path, f"{name} has changed since it was written"))
        state = json.loads((path / "state.json").read_text())
        if state["format"] != FORMAT:
            raise EnvironmentFault(
                f"{path} has format {state['format']}, and this ganforge reads format {FORMAT}: upgrade it"
            )
        networks, ema, training = (load_file(path / f"{n}.safetensors") for n in ("networks", "ema", "training"))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise EnvironmentFault(_damaged(path, str(error))) from error
    return Checkpoint(networks, ema, join(state["training"], training))


def _manifest(path: Path) -> dict[str, str]:
    try:
        return json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise EnvironmentFault(_damaged(path, f"manifest.json has changed since it was written: {error}")) from error


def _damaged(path: Path, why: str) -> str:
    return f"the checkpoint {path} is damaged: {why}\n  delete that folder, and --resume takes the one before it"


def prune(folder: Path, keep_last: int, keep_every: int | None, keep: frozenset[int] = frozenset()) -> None:
    """Delete old checkpoints but the last ones, those at multiples of `keep_every`, and those of steps in `keep`."""
    for path in checkpoints(folder)[:-keep_last]:
        if step_of(path) not in keep and (keep_every is None or step_of(path) % keep_every):
            # Out of the list first, so that a crash leaves no half checkpoint in it.
            gone = path.rename(path.with_name(f".{path.name}.old"))
            shutil.rmtree(gone, ignore_errors=True)


def clean(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    for path in folder.glob(".step_*"):
        shutil.rmtree(path, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file in one go."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of their own memory: safetensors refuses networks that share weights."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
