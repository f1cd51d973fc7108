"""What a user is told when a part raises in the midst of training."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

from ganforge.errors import BadFile, EnvironmentFault, GanforgeError, TrainingFailed


def explained(error: Exception, step: int, record: Path) -> GanforgeError:
    """Which part raised, and which line of its code; `record` is the file that has the whole traceback."""
    if "does not currently support double backward" in str(error):
        return TrainingFailed(
            f"step {step}: a loss differentiates twice through a compiled network\n"
            '  let it declare what it differentiates with respect to, @traits(wrt=("latents",)): then the network\n'
            "  is called uncompiled; or set run.compile=false"
        )
    if isinstance(error, torch.OutOfMemoryError):
        return TrainingFailed(
            f"step {step}: the device ran out of memory\n"
            "  lower data.batch_size (run.accumulate keeps the mathematics), the image size or the networks'\n"
            "  channels, or set run.precision=bf16"
        )
    told = ": ".join([f"step {step}", *getattr(error, "__notes__", ()), f"{type(error).__name__}: {error}"])
    if isinstance(error, OSError):
        return EnvironmentFault(told)
    torchs = str(Path(torch.__file__).parent)
    frame = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(torchs)][-1]
    return TrainingFailed(
        f"{told}\n  raised at {frame.filename}:{frame.lineno} in {frame.name}\n  the whole traceback is in {record}"
    )


def bad_file_met(error: BadFile, step: int, folder: Path) -> BadFile:
    """A file that cannot be read, met in the midst of a training: what works from here on.

    To take it out is nothing that works: with another number of samples, every later batch would be another.
    """
    first = str(error).partition("\n")[0]
    return BadFile(
        f"step {step}: {first}\n"
        f"  put a good file in its place, and go on: ganforge run {folder} --resume\n"
        f"  or go on without it: ganforge run {folder} --resume data.on_bad_file=skip\n"
        "  taken out, the run could not be resumed: all batches would change"
    )
