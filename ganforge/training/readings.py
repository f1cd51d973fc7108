"""All scalars of training since they were last read, by TensorBoard tag."""

from __future__ import annotations

import math
import sys

import torch

from ganforge.training.trainer import Trainer


def readings(trainer: Trainer, images_per_step: int) -> dict[str, float]:
    """The means of the statistics over all ranks, and this one's rates, speed and memory; it waits for the device, and
    starts anew."""
    scalars = trainer.statistics.read(trainer.world)
    seconds = trainer.stopwatch.read()
    rates = {f"learning_rate/{p.name}": p.learning_rate for p in trainer.players.values()}
    scalars |= {name: rate for name, rate in rates.items() if not math.isnan(rate)}
    scalars |= {f"loss_scale/{p.name}": p.scaler.get_scale() for p in trainer.players.values() if p.scaler}
    scalars |= {f"speed/{name}": value for name, value in seconds.items()}
    scalars["speed/data_wait_share"] = min(1.0, seconds.get("seconds/data_wait", 0.0) / seconds["seconds/step"])
    if "seconds/averaging" in seconds:
        phases = sum(1 / phase.every for phase in trainer.recipe.phases)
        scalars["speed/averaging_share"] = min(1.0, phases * seconds["seconds/averaging"] / seconds["seconds/step"])
    scalars["speed/images_per_second"] = images_per_step / seconds["seconds/step"]
    scalars |= _memory(trainer.precision.device)
    if trainer.levers.compiled:
        scalars["speed/compilations"] = float(trainer.program.calls.compiler.graphs)
    if trainer.bad_losses.skip:
        scalars["losses/skipped_phases"] = float(trainer.bad_losses.skipped)
    return scalars


def _memory(device: torch.device) -> dict[str, float]:
    """The device's peak so far, in GiB."""
    if device.type == "cuda":
        return {
            "memory/allocated_GiB": torch.cuda.max_memory_allocated(device) / 2**30,
            "memory/reserved_GiB": torch.cuda.max_memory_reserved(device) / 2**30,
        }
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of the whole process
    return {"memory/resident_GiB": peak / (2**30 if sys.platform == "darwin" else 2**20)}
