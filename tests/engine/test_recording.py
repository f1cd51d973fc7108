"""Passes recorded and replayed train as those launched one by one; on a CPU a tape stands for CUDA graphs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from replaying import recorder
from torch import Tensor

from ganforge.engine.levers.recording import WARM_UP
from ganforge.testing import Parity

TINY = Path(__file__).parents[2] / "recipes" / "tiny"
TAIL = "\nrun: {steps: 100, precision: fp64, device: cpu}\n"


def trajectories(recipe: str | Path, *overrides: str, steps: int = WARM_UP + 4) -> tuple[Parity, Parity]:
    """The same training launched and recorded."""
    both = tuple(Parity(str(recipe), *overrides) for _ in range(2))
    both[1].trainer.record(recorder(both[1].trainer.cast.networks))
    for parity in both:
        parity.train(parity.batches(steps * parity.recipe.run.accumulate))
    return both


def same(launched: Parity, recorded: Parity) -> bool:
    """Bit for bit, averages, statistics and the state of ops included."""
    return (
        all(torch.equal(a, b) for a, b in zip(everything(launched), everything(recorded), strict=True))
        and launched.trainer.statistics.read() == recorded.trainer.statistics.read()
    )


def everything(parity: Parity) -> list[Tensor]:
    averages = [average.module for player in parity.trainer.players.values() for average in player.ema.values()]
    modules = [parity.trainer.cast.networks, *averages]
    return [tensor for module in modules for tensor in module.state_dict().values()]


RECIPES = sorted(path.stem for path in TINY.glob("*.yaml"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_alike_recorded(name: str, recwarn: pytest.WarningsRecorder) -> None:
    launched, recorded = trajectories(TINY / f"{name}.yaml")
    assert same(launched, recorded)
    gave_up = [str(warning.message) for warning in recwarn if "no CUDA graphs" in str(warning.message)]
    replayed = recorded.trainer.recorder is not None and recorded.trainer.recorder.recordings
    assert bool(replayed) != bool(gave_up), name
    print(name, gave_up)
