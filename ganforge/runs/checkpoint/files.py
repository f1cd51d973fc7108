"""Checkpoints: everything a run needs to go on exactly, whole or not there at all.

A checkpoint is staged in a folder beside, every file is flushed to the disk, and the folder is renamed. A manifest of
SHA-256 sums finds what a disk may have done to it since.

Of a run whose networks are in shards each kind of tensors is in as many files as there were ranks, such as
`networks.00002-of-00004.safetensors`: what several of them hold is one tensor, cut along its first axis.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ganforge.core.files import flush, sha256_of
from ganforge.core.serialise import Unsaveable, put_together, take_apart, tensor_keys
from ganforge.errors import EnvironmentFault, TrainingFailed

FORMAT = 1
NAME = re.compile(r"step_(\d{7,})")
KINDS = ("networks", "ema", "training")
"""The kinds of tensors, each with a file of its own."""
STATE, VERSIONS = "ganforge.state", "ganforge.versions"
"""Keys in the headers of files: what modules keep beside tensors, and the versions of their layers."""

Shards = Mapping[str, Mapping[str, Tensor]]
"""What one rank keeps of networks, their averages and optimizers: by kind and name."""


@dataclass
class Checkpoint:
    """What is in a checkpoint."""

    networks: dict[str, Any]
    """The states of all networks in one `state_dict`: tensors, and what `get_extra_state` gives."""
    ema: dict[str, Any]
    training: dict[str, Any]
    """Optimizers, schedules, scalers, ops, random generators, position."""
    ranks: int = 1
    """How many ranks keep shards of the networks: then this has all that is whole, and the first rank's parts."""
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The versions of layers in `networks` and `ema`, by these names, where layers have one of their own."""


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in a `checkpoints/` folder, oldest first."""
    found = [path for path in folder.glob("step_*") if NAME.fullmatch(path.name) and (path / "manifest.json").is_file()]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """The number of steps that a checkpoint's run had taken."""
    return int(path.name.removeprefix("step_"))


def stage_shards(folder: Path, step: int, rank: int, ranks: int, shards: Shards) -> None:
    """Write what a rank, not the first, keeps of a checkpoint, which `save_checkpoint` then completes; rank 1 begins.

    Raises:
        EnvironmentFault: as `save_checkpoint` does.
    """
    with _staging(folder, step, anew=rank == 1) as staged:
        for kind in KINDS:
            save_file(dict(shards[kind]), staged / _file(kind, rank, ranks))


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and return its folder.

    Raises:
        EnvironmentFault: the disk is full or refuses; earlier checkpoints are untouched.
        TrainingFailed: a state holds what no checkpoint can hold.
    """
    final = folder / f"step_{step:07d}"
    with _staging(folder, step, anew=checkpoint.ranks == 1) as staged:
        _write(staged, checkpoint)
        if final.exists():  # the same step of an earlier attempt: equal, or damaged
            shutil.rmtree(final)
        staged.rename(final)
        flush(folder)
    return final


def _file(kind: str, rank: int, ranks: int) -> str:
    return f"{kind}.{rank + 1:05d}-of-{ranks:05d}.safetensors" if ranks > 1 else f"{kind}.safetensors"


@contextmanager
def _staging(folder: Path, step: int, anew: bool) -> Iterator[Path]:
    """The folder where a checkpoint is written before it is whole."""
    staged = folder / f".step_{step:07d}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if anew:
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir()
        yield staged
    except Unsaveable as error:
        shutil.rmtree(staged, ignore_errors=True)
        place = str(error).removeprefix("training.").removeprefix("trainer.")
        raise TrainingFailed(
            f"step {step}: the run's state can no longer be saved: {place}",
            "the last whole checkpoint is untouched: mend the part's state_dict, and go on from it with --resume",
        ) from error
    except (OSError, SafetensorError) as error:
        shutil.rmtree(staged, ignore_errors=True)
        raise EnvironmentFault(
            f"the checkpoint of step {step} could not be written to {folder}: {error}",
            "make room or mend the disk, then go on with --resume from the last whole checkpoint",
        ) from error


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    tensors: dict[str, Tensor] = {}
    state = {"format": FORMAT, "training": take_apart(checkpoint.training, "training", tensors)}
    for kind, held in (("networks", checkpoint.networks), ("ema", checkpoint.ema)):
        _write_modules(folder / _file(kind, 0, checkpoint.ranks), held, checkpoint.versions.get(kind, {}))
    save_file(tensors, folder / _file("training", 0, checkpoint.ranks))
    (folder / "state.json").write_text(json.dumps(state))
    sums = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(json.dumps(sums, indent=1))
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors leaves 0600
        flush(path)
    flush(folder)


def _write_modules(path: Path, state: Mapping[str, Any], versions: Mapping[str, Any]) -> None:
    """The state of modules: tensors under their own names, what is left in the file's header. So one file is all that
    a network needs."""
    tensors: dict[str, Tensor] = {}
    json_of = {name: take_apart(value, name, tensors) for name, value in state.items()}
    left = {name: value for name, value in json_of.items() if value != {"$tensor": name}}
    header = {name: json.dumps(value) for name, value in ((STATE, left), (VERSIONS, dict(versions))) if value}
    save_file(tensors, path, metadata=header or None)


def _read_modules(paths: Sequence[Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `_write_modules` wrote: the state, and versions."""
    tensors = _read(paths)
    header: dict[str, str] = {}
    for path in paths:
        with safe_open(path, "pt") as file:
            header |= file.metadata() or {}
    left = json.loads(header.get(STATE, "{}"))
    joined = {name: put_together(value, tensors) for name, value in left.items()}
    belong = {key for value in left.values() for key in tensor_keys(value)}
    plain = {name: tensor for name, tensor in tensors.items() if name not in belong}
    return plain | joined, json.loads(header.get(VERSIONS, "{}"))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, after checking every byte of it.

    Raises:
        EnvironmentFault: it is damaged, or written by a newer ganforge.
    """
    try:
        sums = verify(path)
        state = json.loads((path / "state.json").read_text())
        if state["format"] != FORMAT:
            raise EnvironmentFault(
                f"{path} has format {state['format']}, and this ganforge reads format {FORMAT}: upgrade it"
            )
        files = {kind: [path / name for name in names] for kind, names in _files(sums).items()}
        networks, versions = _read_modules(files["networks"])
        ema, versions_of_ema = _read_modules(files["ema"])
        training = put_together(state["training"], _read(files["training"]))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise EnvironmentFault(_damaged(path, str(error))) from error
    return Checkpoint(networks, ema, training, versions={"networks": versions, "ema": versions_of_ema})


def verify(path: Path) -> dict[str, str]:
    """Check every byte of a checkpoint; its files, each with its SHA-256.

    Raises:
        EnvironmentFault: it is damaged.
    """
    try:
        try:
            sums: dict[str, str] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        except ValueError as error:
            why = f"manifest.json has changed since it was written: {error}"
            raise EnvironmentFault(_damaged(path, why)) from error
        for name, expected in sums.items():
            if sha256_of(path / name) != expected:
                raise EnvironmentFault(_damaged(path, f"{name} has changed since it was written"))
    except OSError as error:
        raise EnvironmentFault(_damaged(path, str(error))) from error
    return sums


@contextmanager
def in_usual_files(path: Path) -> Iterator[Path]:
    """A checkpoint in the usual files: itself, there or not, or for a while a copy, if its run had networks in parts.

    Raises:
        EnvironmentFault: as `load_checkpoint` and `save_checkpoint` do.
    """
    if not path.is_dir() or (path / "networks.safetensors").is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield save_checkpoint(Path(folder), step_of(path), load_checkpoint(path))


def _files(names: Iterable[str]) -> dict[str, list[str]]:
    """The files of each kind, in the ranks' order."""
    return {kind: sorted(n for n in names if n.startswith(f"{kind}.") and n.endswith(".safetensors")) for kind in KINDS}


def _read(paths: Sequence[Path]) -> dict[str, Tensor]:
    """The tensors of one file, or of several that hold shards of them."""
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(path, "pt")) for path in paths]
        holding: dict[str, list[Any]] = {}
        for file in files:
            for key in file.keys():  # noqa: SIM118  # no dict
                holding.setdefault(key, []).append(file)
        return {key: _together([file.get_tensor(key) for file in held]) for key, held in holding.items()}


def _together(shards: list[Tensor]) -> Tensor:
    return torch.cat(shards) if len(shards) > 1 else shards[0]


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
