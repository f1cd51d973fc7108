"""On real pairs: a few seconds of training bring the translations of unseen labels nearer to the photos."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL = {
    "pix2pix_facades": ("networks.G.downs=5", "networks.G.channels=16"),
    "pix2pixhd_facades": ("networks.G.downs=2", "networks.G.channels=8", "networks.G.blocks=2"),
}
JUDGE = ("networks.D.channels=8", "networks.D.layers=2")
DATA = ("data.download=null", "data.workers=0", "data.cache=memory")
SIZE = ("data.load_px=36", "data.crop_px=32", "data.batch_size=4")
RUN = ("run.epochs=null", "run.precision=fp32", "run.images=null")


@pytest.mark.parametrize("recipe", SMALL)
def test_the_error_on_test_pairs_falls(recipe: str, run_recipe: Callable[..., Any], facades: Path) -> None:
    def error(steps: int, lr: float) -> float:
        given = (f"data.root={facades}", f"players.generator.optimizer.lr={lr}")
        return run_recipe(recipe, *SMALL[recipe], *JUDGE, *DATA, *SIZE, *RUN, *given, steps=steps).metrics["error"]

    assert error(steps=60, lr=1e-3) < 0.92 * error(steps=1, lr=0.0)
