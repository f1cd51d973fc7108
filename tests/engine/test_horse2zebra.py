"""The shipped CycleGAN: every forward of its step runs once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from ganforge.images import write_image
from ganforge.plugins.registry import Registry
from ganforge.recipe.merge import load
from ganforge.recipe.reading import read_recipe
from ganforge.runs.run import Run
from ganforge.runs.run_folder import RunFolder

RECIPE = Path(__file__).resolve().parents[2] / "recipes/cyclegan_horse2zebra.yaml"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = torch.Generator().manual_seed(0)
    for folder, count in {"trainA": 3, "trainB": 2, "testA": 1, "testB": 1}.items():
        (tmp_path / folder).mkdir()
        for index in range(count):
            picture = torch.randint(256, (3, 40, 40), generator=rng, dtype=torch.uint8)
            write_image(tmp_path / folder / f"{index}.png", picture)
    return tmp_path


def test_a_step_makes_three_passes_of_each_network(pictures: Path, registry: Registry) -> None:
    overrides = [
        f"data.root={pictures}",
        "data.download=null",
        "data.workers=0",
        "data.load_px=36",
        "data.crop_px=32",
        *(f"networks.{name}.channels=4" for name in ("G_ab", "G_ba", "D_a", "D_b")),
        "networks.G_ab.blocks=2",
        "networks.G_ba.blocks=2",
        "run.device=cpu",
        "run.precision=fp32",
        "run.images=[]",
        "run.steps=4",
        *(f"callbacks.{name}=null" for name in ("progress", "tensorboard", "panels")),
    ]
    recipe = read_recipe(load(RECIPE, overrides), registry, "horse2zebra")
    run = Run(recipe, RunFolder(pictures), registry)
    passes: Counter[str] = Counter()
    for name, network in run.trainer.cast.networks.items():
        network.register_forward_hook(lambda *_, name=name: passes.update([name]))
    run.start()
    run.train()
    assert passes == dict.fromkeys(("G_ab", "G_ba", "D_a", "D_b"), 3 * 4)
    assert sum(run.plan.forwards.values(), Counter()) == dict.fromkeys(passes, 3)
