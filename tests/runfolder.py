"""A run's folder, as tests look at it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor


@dataclass
class Folder:
    """Where everything of one run lies."""

    path: Path

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.path / "run.json").read_text())

    @property
    def steps(self) -> list[int]:
        """Those of its checkpoints."""
        return sorted(int(path.name.removeprefix("step_")) for path in (self.path / "checkpoints").glob("step_*"))

    def checkpoint(self, step: int) -> Path:
        return self.path / f"checkpoints/step_{step:07d}"

    def weights(self, step: int) -> dict[str, Tensor]:
        return load_file(self.checkpoint(step) / "networks.safetensors")

    def moved(self, one: int, other: int) -> set[str]:
        """The weights that differ between the checkpoints of two steps."""
        before, after = self.weights(one), self.weights(other)
        return {name for name in before if not before[name].equal(after[name])}

    def rates(self, player: str) -> dict[int, float]:
        """The learning rate by step, as TensorBoard has it."""
        events = EventAccumulator(str(self.path), size_guidance={"scalars": 0, "tensors": 0}).Reload()
        return {event.step: event.value for event in events.Scalars(f"learning_rate/{player}")}

    def texts(self, tag: str) -> dict[int, str]:
        """TensorBoard's texts by step."""
        events = EventAccumulator(str(self.path), size_guidance={"tensors": 0}).Reload()
        found = events.Tensors(f"{tag}/text_summary")
        return {event.step: event.tensor_proto.string_val[0].decode() for event in found}
